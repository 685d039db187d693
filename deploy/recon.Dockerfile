# The recon worker: no Django, no database. COMPUTE=cpu or cuda decides which build of torch is put in.
FROM python:3.11-slim-bookworm
ARG COMPUTE=cpu
# TORCH_INDEX: address of PyTorch's own channel for the CPU build, given at build time where the default brings CUDA.
ARG TORCH_INDEX=
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
# torch in a layer of its own: it is large and changes rarely.
RUN if [ "$COMPUTE" = cpu ] && [ -n "$TORCH_INDEX" ]; then \
        pip install --no-cache-dir torch==2.13.0 --index-url "$TORCH_INDEX"; \
    else \
        pip install --no-cache-dir torch==2.13.0; \
    fi
COPY requirements-recon.txt ./
RUN pip install --no-cache-dir -r requirements-recon.txt
COPY deploy/__init__.py deploy/worker_health.py deploy/
COPY docs/contracts/ docs/contracts/
COPY recon_worker/ recon_worker/
RUN useradd --create-home --uid 10001 readerstudy
USER readerstudy
CMD ["celery", "-A", "recon_worker.tasks", "worker", "-Q", "recon", "--pool", "solo", "--loglevel", "INFO"]
