"""An S3 service for tests: moto, which checks signatures and permissions, with one request at a time.

    serve.py PORT KEYS [--without-conditions] [--tls]

It has the bucket `hitters`. The file KEYS gets a line `USER KEY SECRET` for each of two users: `writer` may do everything
with S3, `stranger` nothing. Without conditions it ignores If-None-Match and checks no signatures.
With TLS it takes tls.crt and tls.key of its folder.
"""

import io
import json
import os
import sys
import threading

from moto import settings
from moto.iam import iam_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.s3 import s3_backends
from werkzeug.serving import run_simple

ACCOUNT = "123456789012"
REGION = "us-east-1"


def users():
    """Makes the users and returns their lines."""
    iam = iam_backends[ACCOUNT]["aws"]
    lines = []
    for name in ["writer", "stranger"]:
        iam.create_user(REGION, name)
        key = iam.create_access_key(name)
        lines.append(f"{name} {key.access_key_id} {key.secret_access_key}\n")
    statement = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    iam.put_user_policy("writer", "everything", json.dumps(policy))
    return lines


def main(port, keys, options):
    conditions = "--without-conditions" not in options
    tls = ("tls.crt", "tls.key") if "--tls" in options else None
    s3_backends[ACCOUNT]["aws"].create_bucket("hitters", REGION)
    with open(keys + ".new", "w") as file:
        file.writelines(users())
    os.rename(keys + ".new", keys)
    if conditions:
        # From here on every request is checked.
        settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
    app = DomainDispatcherApplication(create_backend_app)
    # moto looks whether an object is there and writes it in two steps, which S3 does in one.
    lock = threading.Lock()

    def one_at_a_time(environment, start):
        # Read before: a slow sender must not hold the others up.
        length = int(environment.get("CONTENT_LENGTH") or 0)
        body = environment["wsgi.input"].read(length) if length else b""
        environment["wsgi.input"] = io.BytesIO(body)
        if not conditions:
            environment.pop("HTTP_IF_NONE_MATCH", None)
        with lock:
            return list(app(environment, start))

    run_simple("127.0.0.1", port, one_at_a_time, threaded=True, request_handler=MotoRequestHandler, ssl_context=tls)


main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
