# The sample service: nothing but Python and a few files.
FROM python:3.12-slim
RUN useradd --uid 10001 --no-create-home perfume && mkdir /spool /memory && chown perfume /spool /memory
COPY examples/perfume/*.py examples/perfume/checkpoint.json /app/
USER perfume
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
ENTRYPOINT ["python", "/app/app.py"]
