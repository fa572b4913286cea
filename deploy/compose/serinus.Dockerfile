# The control plane, from this repository.
FROM python:3.12-slim
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN pip install --no-cache-dir '.[server,postgres]' \
 && useradd --uid 10001 --create-home serinus \
 && mkdir -p /var/lib/serinus /edge /run/metrics && chown serinus /var/lib/serinus /edge /run/metrics
USER serinus
ENV SERINUS_DATA_DIR=/var/lib/serinus PYTHONUNBUFFERED=1
ENTRYPOINT ["serinus"]
CMD ["up"]
