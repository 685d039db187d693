# The web server and the light worker: no torch, no scanner formats.
FROM node:22-bookworm-slim AS frontend
WORKDIR /build/frontend
COPY frontend/package.json frontend/package-lock.json frontend/.npmrc ./
RUN npm ci --no-audit --no-fund
COPY frontend/ ./
RUN npm run build

FROM python:3.11-slim-bookworm
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
COPY requirements-web.txt ./
RUN pip install --no-cache-dir -r requirements-web.txt
COPY manage.py ./
COPY deploy/ deploy/
COPY docs/contracts/ docs/contracts/
COPY fixtures/presets/ fixtures/presets/
COPY readerstudy/ readerstudy/
COPY --from=frontend /build/frontend/dist/ frontend/dist/
RUN useradd --create-home --uid 10001 readerstudy && mkdir /state && chown readerstudy /state
USER readerstudy
CMD ["gunicorn", "readerstudy.wsgi:application", "--bind", "0.0.0.0:8000", "--worker-class", "gthread", "--workers", "2", "--threads", "8", "--timeout", "120", "--no-control-socket", "--worker-tmp-dir", "/dev/shm"]
