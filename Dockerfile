# The course on a CPU: docker build -t transfer-learning-course . && docker run --rm -p 127.0.0.1:8888:8888 transfer-learning-course
FROM python:3.12-slim AS base
RUN apt-get update && apt-get install -y --no-install-recommends git make && rm -rf /var/lib/apt/lists/*
ENV OMP_WAIT_POLICY=passive PIP_NO_CACHE_DIR=1 PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu

FROM base AS course
RUN useradd --create-home student
USER student
WORKDIR /home/student/course
COPY --chown=student . .
RUN make .venv/bin/.installed
ENV PATH=/home/student/course/.venv/bin:$PATH
EXPOSE 8888
# Jupyter prints an address with a token; nobody gets in without it.
CMD ["jupyter", "lab", "--no-browser", "--ip=0.0.0.0", "--ServerApp.root_dir=notebooks"]
