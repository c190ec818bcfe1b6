# The course on a CPU: docker build -t transfer-learning-course . && docker run --rm -p 127.0.0.1:8888:8888 transfer-learning-course
FROM python:3.12-slim AS base
RUN apt-get update && apt-get install -y --no-install-recommends git make && rm -rf /var/lib/apt/lists/*
ENV OMP_WAIT_POLICY=passive PIP_NO_CACHE_DIR=1 PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu

# A filter of lecture 15: docker build --target serving -t filter . && docker run --rm -p 127.0.0.1:8000:8000 -v FOLDER:/filter:ro filter
FROM base AS serving
RUN useradd --create-home server
WORKDIR /home/server
COPY . course
RUN pip install -c course/constraints.txt "./course[serve]"
USER server
EXPOSE 8000
# `docker stop` sends SIGTERM: what was accepted is answered first. Memory and cores are docker's to limit.
CMD ["python", "-m", "course_utils.production.server", "/filter", "--host=0.0.0.0", "--port=8000"]

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
