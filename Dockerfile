# Holdfast with every store, from this repository: docker build -t holdfast .
# Nothing is downloaded but what requirements/all.lock pins by hash; the lock was made for this version of Python.
FROM python:3.11-slim AS build
WORKDIR /opt/holdfast
COPY requirements/all.lock requirements/all.lock
RUN python -m venv venv \
 && venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/all.lock
COPY scripts/link.py scripts/link.py
COPY src src
COPY LICENSE README.md ./
RUN venv/bin/python scripts/link.py && venv/bin/python -m compileall -q src

FROM python:3.11-slim
COPY --from=build /opt/holdfast /opt/holdfast
RUN useradd --uid 10001 --user-group --create-home holdfast \
 && install -d -o holdfast -g holdfast -m 0700 /var/lib/holdfast
USER 10001:10001
WORKDIR /var/lib/holdfast
ENV PATH=/opt/holdfast/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    XDG_DATA_HOME=/var/lib \
    XDG_CONFIG_HOME=/etc \
    HOLDFAST_HOST=0.0.0.0
# SQLite, its key and the audit trail are in /var/lib/holdfast; /etc/holdfast/holdfast.toml is read if it is there.
VOLUME /var/lib/holdfast
EXPOSE 8765
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ.get('HOLDFAST_PORT', '8765')}/livez\", timeout=2)"]
ENTRYPOINT ["holdfast"]
CMD ["serve"]
