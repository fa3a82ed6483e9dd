# The study server in a container; docs/study.md says how to run it. It is built and run by hand and not by
# the tests.
FROM python:3.11-slim
WORKDIR /app
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY rlhf_lib rlhf_lib
COPY models models
# The CPU build of the pinned torch first, so that the lock brings no packages of the GPU build.
RUN pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu \
        "$(grep '^torch==' requirements.lock)" \
 && pip install --no-cache-dir -r requirements.lock \
 && pip install --no-cache-dir --no-deps . \
 && useradd --create-home study
USER study
# The study file, its candidates and the answers lie in this folder of the host.
VOLUME /study
ENV RLHF_WORKSPACE=/study
EXPOSE 8866
CMD ["python", "-m", "rlhf_lib", "serve_study", "study.yaml", "--host", "0.0.0.0"]
