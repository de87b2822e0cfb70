# psm_jax for a CPU, for NVIDIA GPUs or for Google TPUs:
#
#   docker build --build-arg=ACCELERATOR=cpu -t psm_jax:cpu .
#   docker build --build-arg=ACCELERATOR=cuda13 -t psm_jax:cuda .
#   docker build --build-arg=ACCELERATOR=tpu -t psm_jax:tpu .
#   docker run -v "$PWD/runs:/runs" psm_jax:cpu -m launch.train \
#       --config=configs/quickstart.py --workdir=/runs/first
#
# CUDA comes with JAX's wheels, so one base serves all; the host needs the driver
# and, for GPUs, docker run --gpus=all.
FROM python:3.11-slim-bookworm

ARG ACCELERATOR=cpu
WORKDIR /psm_jax
COPY requirements.txt constraints.txt ./
RUN case "$ACCELERATOR" in \
      cpu) jax=jax ;; \
      cuda12 | cuda13 | tpu) jax="jax[$ACCELERATOR]" ;; \
      *) echo "ACCELERATOR is $ACCELERATOR, not cpu, cuda12, cuda13 or tpu." \
        >&2; exit 2 ;; \
    esac \
  && pip install --no-cache-dir -r requirements.txt -c constraints.txt "$jax"
COPY psm_jax psm_jax
COPY launch launch
# In the repository a link, which a copy would lose.
RUN ln -s psm_jax/presets configs
# A signal has to reach the program: it saves and exits with 75.
ENTRYPOINT ["python"]
CMD ["-m", "launch.train", "--help"]
