# To pin the very image: --build-arg BASE_DIGEST=@sha256:..., as `docker buildx imagetools inspect` says it.
ARG BASE_DIGEST=
FROM python:3.13.9-slim-bookworm${BASE_DIGEST}
RUN groupadd --system --gid 10001 edgesync && useradd --system --uid 10001 --gid 10001 --home-dir /data edgesync && install -d -o edgesync -m 700 /data /broker
WORKDIR /src
COPY requirements/image.txt requirements/
RUN pip install --no-cache-dir --require-hashes -r requirements/image.txt
COPY pyproject.toml README.md ./
COPY cloud cloud
COPY broker broker
COPY certs certs
COPY agent_sim agent_sim
COPY edgesync edgesync
COPY edgesync_agent edgesync_agent
RUN pip install --no-cache-dir --no-deps --no-build-isolation . && rm -rf /src/*
USER edgesync
WORKDIR /data
VOLUME /data
EXPOSE 8883 9003 9004 9005
ENTRYPOINT ["edgesync"]
CMD ["serve", "--data-dir", "/data", "--host", "0.0.0.0"]
