# segserve in containers:
#   docker build .                  the service on the CPU, the same as --target cpu
#   docker build --target gpu .     the service with CUDA; serves on the CPU where no GPU is shown to it
#   docker build --target ray .     the service and the bulk run on the nodes of a Ray cluster
#   docker build --target train .   segtrain
# No BuildKit is needed. A builder without it makes every stage above its target, so the large ones come last.

ARG BASE_IMAGE=python:3.11-slim-bookworm

# ---- what every image has

FROM ${BASE_IMAGE} AS base
# rasterio's wheel takes libexpat from the system, and Python's slim images no longer have it.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libexpat1 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/ldconfig/* /var/log/apt /var/log/dpkg.log \
    && groupadd --gid 10001 segserve \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin segserve
# The root file system may be read-only: libraries that want a home find /tmp.
ENV HOME=/tmp \
    PATH=/app/bin:/opt/segserve/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
LABEL org.opencontainers.image.title="segserve" \
      org.opencontainers.image.description="POST an image, get the class of every pixel." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0"

FROM base AS service-base
ENV SEGSERVE_HOST=0.0.0.0 \
    SEGSERVE_MODEL_STORE=/models
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-I", "/app/healthcheck.py"]
ENTRYPOINT ["segserve"]
CMD ["serve"]

# ---- the packages, in an environment that never holds pip

FROM base AS builder
RUN apt-get update && apt-get install --yes --no-install-recommends binutils
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY deploy/image/slim.py ./
RUN python3 -m venv --without-pip /opt/segserve

FROM builder AS packages-cpu
COPY requirements/serve.txt ./
RUN pip --python /opt/segserve/bin/python install --no-compile --require-hashes --requirement serve.txt

# ---- the service's own code: what it imports, and nothing of the trainer

FROM packages-cpu AS project
COPY LICENSE README.md pyproject.toml ./
COPY service service
COPY models/__init__.py models/
COPY models/contract models/contract
COPY deploy/image/healthcheck.py /app/
RUN pip --python /opt/segserve/bin/python install --no-deps --no-build-isolation --no-compile --target /app . \
    && rm /app/bin/segtrain \
    && python -m compileall -q --invalidation-mode unchecked-hash /app \
    && chmod -R a+rX /app

# ---- cpu

FROM packages-cpu AS slim-cpu
RUN python slim.py

FROM service-base AS cpu
COPY --from=slim-cpu /opt/segserve /opt/segserve
COPY --from=project /app /app
# A new volume that is mounted here is filled with the bundled models, and belongs to the user.
COPY --chown=10001:10001 models/zoo /models
ARG REVISION=unknown
LABEL org.opencontainers.image.revision=$REVISION
USER 10001:10001

# ---- ray

FROM builder AS packages-ray
COPY requirements/ray.txt ./
RUN pip --python /opt/segserve/bin/python install --no-compile --require-hashes --requirement ray.txt

FROM packages-ray AS slim-ray
RUN python slim.py

FROM service-base AS ray
# KubeRay starts nodes from a login shell, which sets PATH anew, and asks them how they are with wget.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends wget \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/ldconfig/* /var/log/apt /var/log/dpkg.log \
    && echo 'export PATH=/app/bin:/opt/segserve/bin:$PATH' > /etc/profile.d/segserve.sh
ENV RAY_USAGE_STATS_ENABLED=0 \
    RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH=service.cluster.proxy.middlewares
COPY --from=slim-ray /opt/segserve /opt/segserve
COPY --from=project /app /app
COPY --chown=10001:10001 models/zoo /models
ARG REVISION=unknown
LABEL org.opencontainers.image.revision=$REVISION
USER 10001:10001
# A node's command is KubeRay's to give.
HEALTHCHECK NONE
ENTRYPOINT []
CMD ["segserve", "serve", "--ray"]

# ---- train

FROM builder AS packages-train
COPY requirements/train.txt ./
RUN pip --python /opt/segserve/bin/python install --no-compile --require-hashes --requirement train.txt

FROM packages-train AS project-train
COPY LICENSE README.md pyproject.toml ./
COPY models models
RUN rm -r models/zoo \
    && pip --python /opt/segserve/bin/python install --no-deps --no-build-isolation --no-compile --target /app . \
    && rm /app/bin/segserve \
    && python -m compileall -q --invalidation-mode unchecked-hash /app \
    && chmod -R a+rX /app \
    && ln -s /models /app/models/zoo \
    && mkdir -p /train/runs

FROM packages-train AS slim-train
RUN python slim.py

FROM base AS train
COPY --from=slim-train /opt/segserve /opt/segserve
COPY --from=project-train /app /app
COPY --chown=10001:10001 models/zoo /models
COPY models/recipes /train/models/recipes
COPY --from=project-train --chown=10001:10001 /train/runs /train/runs
WORKDIR /train
ARG REVISION=unknown
LABEL org.opencontainers.image.revision=$REVISION
USER 10001:10001
# Python ends on SIGINT, after the epoch's checkpoint; as PID 1 it would not hear SIGTERM.
STOPSIGNAL SIGINT
ENTRYPOINT ["segtrain"]
CMD ["--help"]

# ---- gpu

FROM builder AS packages-gpu
COPY requirements/gpu.txt ./
RUN pip --python /opt/segserve/bin/python install --no-compile --require-hashes --requirement gpu.txt

FROM packages-gpu AS slim-gpu
RUN python slim.py

FROM service-base AS gpu
# Which GPU is the container runtime's business; this only asks it for CUDA where it shows one.
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    CUDA_CACHE_PATH=/tmp/cuda
COPY --from=slim-gpu /opt/segserve /opt/segserve
COPY --from=project /app /app
COPY --chown=10001:10001 models/zoo /models
ARG REVISION=unknown
LABEL org.opencontainers.image.revision=$REVISION
USER 10001:10001

# ---- what `docker build .` makes

FROM cpu
