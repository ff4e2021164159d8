// Sessions of @google/genai, told as JSON. Runs as a process of its own: node story.mjs DIALECT URL SPEECH CHAPTER...
//
// Written as an application would be: only the public interface, nothing patched. The server's certificate is trusted
// through NODE_EXTRA_CA_CERTS, as anybody would do it.

import { readFileSync } from "node:fs";
import process from "node:process";
import { GoogleGenAI, Modality, Type } from "@google/genai";
import { OAuth2Client } from "google-auth-library";

const MODEL = "gemini-3.8-live";
const STORY = "Once upon a time there was a parrot that told one and the same story. ".repeat(30);
const WEATHER = {
  functionDeclarations: [
    {
      name: "get_weather",
      description: "The weather in a city, now.",
      parameters: { type: Type.OBJECT, properties: { city: { type: Type.STRING } } },
    },
  ],
};
const TEXT = { responseModalities: [Modality.TEXT] };

const [dialect, url, speech, ...chapters] = process.argv.slice(2);

function client(key = "any", httpOptions = {}) {
  const options = { baseUrl: url, ...httpOptions };
  if (dialect === "gemini") return new GoogleGenAI({ apiKey: key, httpOptions: options });
  if (dialect === "express") return new GoogleGenAI({ vertexai: true, apiKey: key, httpOptions: options });
  if (dialect === "vertex") {
    const authClient = new OAuth2Client();
    authClient.setCredentials({ access_token: key });
    return new GoogleGenAI({
      vertexai: true,
      project: "a-project",
      location: "us-central1",
      googleAuthOptions: { authClient },
      httpOptions: options,
    });
  }
  // Without a project the URL is taken as it is, and the headers are the application's.
  const path = "/ws/google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent";
  const headers = { Authorization: `Bearer ${key}` };
  return new GoogleGenAI({ vertexai: true, httpOptions: { ...options, baseUrl: url + path, headers } });
}

/** A session whose messages can be waited for, since the SDK calls back. */
class Talk {
  constructor() {
    this.messages = [];
    this.end = null;
    this.wake = () => {};
    this.handle = undefined;
    this.closed = new Promise((resolve) => (this.close = resolve));
  }

  static async open(config, { key, model = MODEL, http } = {}) {
    const talk = new Talk();
    const callbacks = {
      onmessage: (message) => {
        const update = message.sessionResumptionUpdate;
        if (update?.resumable && update.newHandle) talk.handle = update.newHandle;
        talk.messages.push(message);
        talk.wake();
      },
      onerror: (event) => (talk.error = event.message),
      onclose: (event) => {
        talk.end = { code: event.code, text: event.reason, error: talk.error ?? null };
        talk.wake();
        talk.close();
      },
    };
    const connecting = client(key, http).live.connect({ model, config, callbacks });
    // A connection that is refused never settles the SDK's promise.
    talk.session = await Promise.race([connecting, talk.closed]);
    return talk;
  }

  async *receive() {
    for (;;) {
      while (this.messages.length) yield this.messages.shift();
      if (this.end) return;
      await new Promise((resolve) => (this.wake = resolve));
    }
  }

  /** Everything up to the end of a turn. */
  async turn(each = () => {}) {
    const heard = { text: "", heard: "", audio: 0, mimeTypes: [], calls: [], interrupted: false, tokens: null };
    for await (const message of this.receive()) {
      const content = message.serverContent ?? {};
      heard.calls.push(...(message.toolCall?.functionCalls ?? []));
      heard.tokens = message.usageMetadata?.totalTokenCount ?? heard.tokens;
      heard.interrupted ||= Boolean(content.interrupted);
      heard.heard += content.inputTranscription?.text ?? "";
      heard.text += content.outputTranscription?.text ?? "";
      for (const part of content.modelTurn?.parts ?? []) {
        heard.text += part.text ?? "";
        if (part.inlineData) {
          heard.audio += Buffer.from(part.inlineData.data, "base64").length;
          heard.mimeTypes = [...new Set([...heard.mimeTypes, part.inlineData.mimeType])];
        }
      }
      each(message, heard);
      if (content.turnComplete) break;
    }
    return heard;
  }

  async ask(text) {
    this.session.sendClientContent({ turns: text });
    return await this.turn();
  }

  /** Closes, and waits until it is so; gives how it ended. */
  async over() {
    this.session?.close();
    await this.closed;
    return this.end;
  }
}

/** The samples of a WAV file: everything behind the header of its "data" chunk. */
function samples(path) {
  const file = readFileSync(path);
  return { rate: file.readUInt32LE(24), pcm: file.subarray(file.indexOf("data") + 8) };
}

const tell = {
  async conversation() {
    const told = {};
    let talk = await Talk.open({
      responseModalities: [Modality.AUDIO],
      systemInstruction: "Be a parrot.",
      tools: [WEATHER],
      inputAudioTranscription: {},
      outputAudioTranscription: {},
      sessionResumption: {},
      speechConfig: { voiceConfig: { prebuiltVoiceConfig: { voiceName: "Kore" } } },
      contextWindowCompression: { slidingWindow: {} },
    });
    const [first] = talk.messages;
    told.setup = { complete: Boolean(first?.setupComplete), sessionId: Boolean(first?.setupComplete?.sessionId) };
    told.text = await talk.ask("Good day");
    const { rate, pcm } = samples(speech);
    for (let at = 0; at < pcm.length; at += rate / 5) {
      const data = pcm.subarray(at, at + rate / 5).toString("base64");
      talk.session.sendRealtimeInput({ audio: { data, mimeType: `audio/pcm;rate=${rate}` } });
    }
    talk.session.sendRealtimeInput({ audioStreamEnd: true });
    told.speech = await talk.turn();
    talk.session.sendClientContent({ turns: '/call get_weather {"city": "Oslo"}' });
    told.call = await talk.turn((message) => {
      for (const call of message.toolCall?.functionCalls ?? []) {
        const response = { id: call.id, name: call.name, response: { output: "snow" } };
        talk.session.sendToolResponse({ functionResponses: response });
      }
    });
    // The last handle may come right after the turn; an empty turn makes sure that it is there.
    told.system = await talk.ask("/system");
    const { handle } = talk;
    told.end = await talk.over();
    talk = await Talk.open({ ...TEXT, sessionResumption: { handle } });
    told.resumed = await talk.ask("/history");
    await talk.over();
    return told;
  },

  async text_only() {
    const told = {};
    const talk = await Talk.open(TEXT);
    told.text = await talk.ask("Hello");
    talk.session.sendRealtimeInput({ text: "In real time" });
    told.realtime = await talk.turn();
    told.image = await talk.ask("/image");
    talk.session.sendClientContent({ turns: `/slow 60 ${STORY}` });
    let spoken = false;
    told.cut = await talk.turn((_, heard) => {
      if (heard.text && !spoken) talk.session.sendClientContent({ turns: "Stop." });
      spoken = Boolean(heard.text);
    });
    told.after = await talk.turn();
    told.end = await talk.over();
    return told;
  },

  /** What goes wrong reaches the callbacks with the service's code and text. */
  async ends() {
    const end = async (text, config = TEXT, options = {}) => {
      const talk = await Talk.open(config, options);
      if (talk.session) await talk.ask(text);
      return talk.end;
    };
    return {
      no_model: await end("", TEXT, { model: "missing-model" }),
      modalities: await end("", { responseModalities: [Modality.TEXT, Modality.AUDIO] }),
      bad_key: await end("", TEXT, { key: "invalid" }),
      bad_handle: await end("", { ...TEXT, sessionResumption: { handle: "made-up" } }),
      internal: await end("/close 1011 Internal error encountered."),
      in_peace: await end("/close 1000"),
      dropped: await end("/drop"),
    };
  },

  /** Mint an ephemeral token, and use it; the key then stands in the query as access_token. */
  async token() {
    const http = { apiVersion: "v1alpha" };
    const config = { ...TEXT, systemInstruction: "Be a locked parrot." };
    const token = await client("any", http).authTokens.create({
      config: { uses: 1, liveConnectConstraints: { model: MODEL, config }, lockAdditionalFields: [] },
    });
    const talk = await Talk.open(TEXT, { key: token.name, http });
    const told = { prefix: token.name.split("/")[0], system: await talk.ask("/system") };
    await talk.over();
    told.second_use = (await Talk.open(TEXT, { key: token.name, http })).end;
    return told;
  },
};

console.warn = () => {}; // "experimental"
for (const chapter of chapters) console.log(JSON.stringify({ [chapter]: await tell[chapter]() }));
