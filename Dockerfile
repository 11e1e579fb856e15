# docker build -t tradpal/security-service .
# docker run --read-only --tmpfs /tmp -p 8002:8002 -v tradewarden:/app/cache/security tradpal/security-service
#
# The base is pinned by exact tag. To pin the very bytes, give the digest your registry shows:
#   docker build --build-arg PYTHON_IMAGE=python:3.11.13-slim-bookworm@sha256:… .
ARG PYTHON_IMAGE=python:3.11.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /build
ENV UV_PYTHON_DOWNLOADS=never \
    UV_PYTHON=/usr/local/bin/python3 \
    UV_PROJECT_ENVIRONMENT=/opt/tradewarden \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy
COPY scripts/bootstrap.py scripts/bootstrap.py
RUN python scripts/bootstrap.py --uv-only
COPY pyproject.toml uv.lock README.md LICENSE ./
# Dependencies first: a change in src/ does not fetch them again. uv checks every hash of uv.lock.
RUN .tools/uv sync --locked --no-dev --extra postgres --extra vault --no-install-project
COPY src src
RUN .tools/uv sync --locked --no-dev --extra postgres --extra vault --no-editable

FROM ${PYTHON_IMAGE}
RUN groupadd --system --gid 10001 tradewarden \
    && useradd --system --uid 10001 --gid 10001 --home-dir /app --no-create-home \
        --shell /usr/sbin/nologin tradewarden \
    && install -d -o 10001 -g 10001 -m 0755 /app \
    && install -d -o 10001 -g 10001 -m 0700 /app/cache/security
COPY --from=build /opt/tradewarden /opt/tradewarden
COPY scripts/healthcheck.py /opt/tradewarden/healthcheck.py
WORKDIR /app
# Only a container listens everywhere: what reaches it is decided by the ports that are published.
ENV PATH=/opt/tradewarden/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SERVICE_HOST=0.0.0.0
USER 10001:10001
VOLUME ["/app/cache/security"]
EXPOSE 8002 8443
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=8s --start-period=15s --retries=3 \
    CMD ["python", "/opt/tradewarden/healthcheck.py"]
CMD ["tradewarden", "serve"]
