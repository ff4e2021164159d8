#!/usr/bin/env bash
# Installs the Autobahn test suite (CPython 2.7 only) into a virtual environment: install.sh [PYTHON2.7] [DIRECTORY].
# The versions are those it ran with here; run.py looks for it in .wstest.
set -euo pipefail
python=${1:-python2.7}
target=${2:-.wstest}

"$python" -m pip install -q --user virtualenv==20.15.1
"$python" -m virtualenv -q "$target"
"$target/bin/pip" install -q setuptools==44.0.0 wheel==0.36.2 incremental==16.10.1
"$target/bin/pip" install -q --no-build-isolation Twisted==19.10.0 zope.interface==5.5.2 txaio==2.1.0 jinja2==2.11.3 \
    markupsafe==1.1.1 Werkzeug==1.0.1 klein==17.10.0 six==1.16.0 autobahn==0.10.9 wsaccel==0.6.6 ujson==2.0.3 \
    pyOpenSSL==19.1.0 cryptography==3.3.2 service_identity==18.1.0 unittest2==1.1.0
"$target/bin/pip" install -q --no-build-isolation --no-deps autobahntestsuite==25.10.1
