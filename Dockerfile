# The study server in a container; docs/study.md says how to run it. It is built and run by hand and not by
# the tests.
FROM python:3.11-slim
WORKDIR /app
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY rlhf_lib rlhf_lib
COPY models models
# The lock may bring several GB of GPU packages. To avoid them, give the index of PyTorch's CPU builds, which
# pytorch.org names: docker build --build-arg PIP_EXTRA_INDEX_URL=…
ARG PIP_EXTRA_INDEX_URL
RUN pip install --no-cache-dir -r requirements.lock \
 && pip install --no-cache-dir --no-deps . \
 && useradd --create-home study
USER study
# The study file, its candidates and the answers lie in this folder of the host.
VOLUME /study
ENV RLHF_WORKSPACE=/study
EXPOSE 8866
CMD ["python", "-m", "rlhf_lib", "serve_study", "study.yaml", "--host", "0.0.0.0"]
