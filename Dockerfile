# CPU image:  docker build --target cpu -t formfield .        docker run --rm -v "$PWD:/work" formfield reconstruct scenes:bracket
#                                                              the live viewer, with a token of your own of 16 characters or more:
#             docker run --rm -v "$PWD:/work" -p 8080:8080 -e FORMFIELD_TOKEN formfield view RUN --host 0.0.0.0 --port 8080
# GPU image:  docker build --target gpu -t formfield:gpu .    docker run --rm --gpus all -v "$PWD:/work" formfield:gpu doctor
FROM python:3.11-slim AS base
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN useradd --create-home --uid 1000 formfield

FROM base AS build
RUN apt-get update && apt-get install -y --no-install-recommends g++ make && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml CMakeLists.txt README.md LICENSE ./
COPY recon recon
COPY kernels kernels
COPY scenes scenes
COPY viewer viewer
RUN pip wheel --no-deps --wheel-dir /wheels .

FROM base AS cpu
COPY --from=build /wheels /wheels
RUN pip install --index-url https://download.pytorch.org/whl/cpu torch && pip install "$(ls /wheels/*.whl)[viewer,photos]"
USER formfield
WORKDIR /work
HEALTHCHECK CMD ["recon", "doctor", "--json"]
ENTRYPOINT ["recon"]

# The CUDA wheels of torch bring the run-time libraries; kernels are compiled at run time, so no toolkit is needed.
FROM base AS gpu
COPY --from=build /wheels /wheels
RUN pip install torch && pip install "$(ls /wheels/*.whl)[viewer,photos,gpu]"
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER formfield
WORKDIR /work
HEALTHCHECK CMD ["recon", "doctor", "--json"]
ENTRYPOINT ["recon"]
