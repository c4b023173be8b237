"""A Workload API made of other people's parts: grpcio, and the messages of the SPIFFE project as PyPI `spiffe` ships them.

agent.py SOCKET FOLDER serves what lies in FOLDER, which the test changes while calls are open:
  mode      `serve`, or the status that every call ends with: `denied` or `unavailable`
  current   a link to a folder of svid.pem, key.pem and bundle.pem, as `countersign ca issue` writes them
  partners  a folder of bundles, `TRUST_DOMAIN.pem`, if there is one
Prints a line when it listens and one for each message that it sends.
"""

import pathlib
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import serialization as form
from spiffe._proto import workload_pb2, workload_pb2_grpc

socket, folder = sys.argv[1], pathlib.Path(sys.argv[2])
STATUS = {
    "denied": (grpc.StatusCode.PERMISSION_DENIED, "no identity issued"),
    "unavailable": (grpc.StatusCode.UNAVAILABLE, "the agent is starting"),
}


def ders(path):
    certificates = x509.load_pem_x509_certificates(path.read_bytes())
    return b"".join(each.public_bytes(form.Encoding.DER) for each in certificates), certificates[0]


def state():
    mode = (folder / "mode").read_text().strip()
    if mode != "serve":
        return mode, None
    current = (folder / "current").resolve()
    chain, leaf = ders(current / "svid.pem")
    key = form.load_pem_private_key((current / "key.pem").read_bytes(), None)
    svid = workload_pb2.X509SVID(
        spiffe_id=leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value[0].value,
        x509_svid=chain,
        x509_svid_key=key.private_bytes(form.Encoding.DER, form.PrivateFormat.PKCS8, form.NoEncryption()),
        bundle=ders(current / "bundle.pem")[0],
        hint="internal",
    )
    partners = {f"spiffe://{each.stem}": ders(each)[0] for each in (folder / "partners").glob("*.pem")}
    return mode, workload_pb2.X509SVIDResponse(svids=[svid], federated_bundles=partners)


class Agent(workload_pb2_grpc.SpiffeWorkloadAPIServicer):
    def FetchX509SVID(self, request, context):
        if ("workload.spiffe.io", "true") not in context.invocation_metadata():
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "security header missing from request")
        sent = None
        while context.is_active():
            mode, message = state()
            if mode in STATUS:
                context.abort(*STATUS[mode])
            if message != sent:
                print("sent", flush=True)
                yield message
                sent = message
            time.sleep(0.05)


server = grpc.server(ThreadPoolExecutor(8))
workload_pb2_grpc.add_SpiffeWorkloadAPIServicer_to_server(Agent(), server)
server.add_insecure_port(f"unix:{socket}")
server.start()
print("listening", flush=True)
threading.Event().wait()
