"""What all adapters share, without colour: order of steps, event queue, dialing, proxies, the async session."""
