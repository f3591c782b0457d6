# To pin the very image: --build-arg BASE_DIGEST=@sha256:..., from `docker buildx imagetools inspect`.
ARG BASE_DIGEST=
# Another base: --build-arg BASE=...; it has Python 3.11 or newer as `python`, pip, `groupadd` and `useradd`.
ARG BASE=python:3.13.9-slim-bookworm${BASE_DIGEST}
FROM ${BASE}
RUN groupadd --system --gid 10001 edgesync && useradd --system --uid 10001 --gid 10001 --home-dir /data edgesync && install -d -o edgesync -m 700 /data /broker
WORKDIR /src
COPY requirements/image.txt requirements/
# What botocore knows of the services of AWS is not used: edgesync only signs addresses.
RUN pip install --no-cache-dir --require-hashes -r requirements/image.txt && rm -r "$(python -c 'import botocore; print(*botocore.__path__)')/data"
# What .dockerignore lets through: the packages, and what builds them.
COPY . .
# The version of a release, since the history is not here; by default that of pyproject.toml.
ARG VERSION=
RUN SETUPTOOLS_SCM_PRETEND_VERSION_FOR_EDGESYNC=${VERSION} pip install --no-cache-dir --no-deps --no-build-isolation . && rm -rf /src/*
USER edgesync
WORKDIR /data
VOLUME /data
EXPOSE 8883 9003 9004 9005
HEALTHCHECK --interval=10s --timeout=5s --retries=3 --start-period=20s CMD ["python", "-c", "import ssl, urllib.request as u; u.urlopen('https://127.0.0.1:9004/readyz', context=ssl.create_default_context(cafile='/data/ca/root.pem'))"]
ENTRYPOINT ["edgesync"]
CMD ["serve", "--data-dir", "/data", "--host", "0.0.0.0"]
