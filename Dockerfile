# syntax=docker/dockerfile:1
# Every package is locked by hash, the build's own as well; the image holds none of the latter.

FROM python:3.13-slim AS build
ENV PIP_CACHE_DIR=/cache/pip PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY requirements-dev.lock ./
# The cache is a mount, which no layer holds. hadolint knows only pip's usual folder.
# hadolint ignore=DL3042
RUN --mount=type=cache,target=/cache/pip pip install --require-hashes -r requirements-dev.lock
COPY . .
RUN pip wheel --no-deps --no-build-isolation -w /dist .

FROM python:3.13-slim AS install
ENV PIP_CACHE_DIR=/cache/pip PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /opt/install
RUN python -m venv /opt/leadhook
COPY requirements.lock ./
RUN --mount=type=cache,target=/cache/pip /opt/leadhook/bin/pip install --require-hashes -r requirements.lock
COPY --from=build /dist /dist
RUN /opt/leadhook/bin/pip install --no-deps --no-index /dist/*.whl \
    && /opt/leadhook/bin/pip uninstall --yes pip

FROM python:3.13-slim
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin leadhook
COPY --from=install /opt/leadhook /opt/leadhook
ENV PATH=/opt/leadhook/bin:$PATH HOST=0.0.0.0 PORT=8000 PYTHONUNBUFFERED=1
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=3s --start-period=10s CMD ["python", "-c", \
    "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/health', timeout=2)"]
CMD ["leadhook", "serve"]
