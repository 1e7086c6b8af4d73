# One image for training, evaluation and the cluster scripts: make image
#
# The environment of uv.lock is one layer, made in place, because copying its 6 GB from a builder
# stage would take them twice; it depends on nothing but the locked versions. The package, a few
# MB, comes after it from a stage of its own, so a change of the sources costs seconds. Only what
# BuildKit and buildah 1.28 have in common is used.
ARG BASE_IMAGE=debian:bookworm-slim

FROM ${BASE_IMAGE} AS python
ENV DEBIAN_FRONTEND=noninteractive
# hadolint ignore=DL3008
RUN set -eu; apt-get update -qq; \
    apt-get install -qq -y --no-install-recommends python3 ca-certificates; \
    update-ca-certificates; \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log


FROM python AS tools
# hadolint ignore=DL3008,DL3009,DL3013
RUN set -eu; apt-get update -qq; \
    apt-get install -qq -y --no-install-recommends python3-venv; \
    python3 -m venv /builder; \
    /builder/bin/pip install --quiet --no-cache-dir 'uv>=0.13,<0.14' hatchling


FROM tools AS requirements
COPY pyproject.toml uv.lock /source/
RUN /builder/bin/uv export --quiet --project /source --locked --no-dev --no-emit-project \
      --no-header --output-file /requirements.txt


FROM tools AS package
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY configs configs
COPY slurm slurm
COPY lico lico
RUN set -eu; \
    /builder/bin/python -m hatchling build -t wheel -d /wheel; \
    /builder/bin/uv venv --quiet /opt/lico; \
    /builder/bin/uv pip install --quiet --python /opt/lico --no-deps --compile-bytecode /wheel/*.whl; \
    find /opt/lico -name direct_url.json -delete -o -name .lock -delete


FROM python AS lico
COPY --from=requirements /requirements.txt /builder/
# Triton needs a C compiler for one file that is the same for all its kernels, and a library of the
# driver that only machines with a GPU have: compile it now, against an empty one of that name.
# hadolint ignore=DL3008,DL3013
RUN set -eu; apt-get update -qq; \
    apt-get install -qq -y --no-install-recommends python3-venv python3-dev gcc libc6-dev; \
    python3 -m venv /builder; \
    /builder/bin/pip install --quiet --no-cache-dir 'uv>=0.13,<0.14'; \
    /builder/bin/uv venv --quiet /opt/lico; \
    /builder/bin/uv pip sync --quiet --python /opt/lico --require-hashes --no-cache \
      --compile-bytecode /builder/requirements.txt; \
    mkdir /opt/lico/libexec; \
    gcc -shared -Wl,-soname,libcuda.so.1 -o /builder/libcuda.so.1 -x c /dev/null; \
    nvidia=$(echo /opt/lico/lib/python3*/site-packages/triton/backends/nvidia); \
    headers=$(python3 -c 'import sysconfig; print(sysconfig.get_path("include", "posix_prefix"))'); \
    gcc -O3 -shared -fPIC -I"$nvidia/include" -I"$headers" -o /opt/lico/libexec/cuda_utils.so \
      "$nvidia/driver.c" -L/builder -Wl,--no-as-needed -l:libcuda.so.1; \
    rm -rf /builder /root/.cache /opt/lico/.lock /tmp/*; \
    apt-get purge -qq -y --auto-remove python3-venv python3-dev gcc libc6-dev; \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log; \
    useradd --uid 1000 --user-group --no-create-home --home-dir /work --shell /bin/sh lico; \
    install -d -m 1777 -o lico -g lico /work
COPY slurm/container/triton-cc /opt/lico/libexec/
COPY --from=package /opt/lico /opt/lico

# Only the image's own Python files are imported, whatever lies in the working or home folder.
# enroot brings the GPUs in where NVIDIA_VISIBLE_DEVICES asks for them.
ENV PATH=/opt/lico/bin:$PATH \
    CC=/opt/lico/libexec/triton-cc \
    PYTHONSAFEPATH=1 \
    PYTHONNOUSERSITE=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

ARG VERSION=unknown
ARG COMMIT=unknown
ENV LICO_COMMIT=${COMMIT}
LABEL org.opencontainers.image.title="lico-hpc" \
      org.opencontainers.image.description="Does LICO make image classifiers more explainable and more accurate?" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}"

USER 1000:1000
WORKDIR /work
ENTRYPOINT ["/opt/lico/bin/lico"]
CMD ["--help"]
