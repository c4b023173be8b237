//! What our CA issues, offline and online, before the SPIFFE project's readers of other makes: PyPI's `spiffe` and the crate
//! of that name.
//!
//! Both read the SVID with its key and the roots; PyPI's verifies the chain too and reads the roots as a SPIFFE bundle in JSON.
//! So that a yes is worth something, each refuses a root in a leaf's place.

use crate::support::ca::{DOMAIN, Home};
use crate::support::process::{countersign, run};
use crate::workload_api::python;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use spiffe::{SpiffeId, TrustDomain, X509Bundle, X509Svid};
use std::fs;
use std::path::{Path, PathBuf};

/// A CA that runs, `offline` and `online` as it issued them, `bundle.pem` and `bundle.json` as it shows them.
struct Sample {
    home: Home,
}

const SAMPLES: [&str; 2] = ["offline", "online"];

impl Sample {
    fn new() -> Self {
        let home = Home::new();
        let issued = |source: &str, name: &str| {
            let id = format!("spiffe://{DOMAIN}/{name}/v1.0_a");
            shown(&home, &format!("issue {source} --id {id} --out {name}"));
        };
        issued("--dir ca", "offline");
        let _serving = home.serve();
        issued("--socket ca.sock", "online");
        let bundle = shown(&home, "bundle show --socket ca.sock");
        fs::write(home.path("bundle.pem"), bundle).unwrap();
        let bundle = shown(&home, "bundle show --socket ca.sock -o json");
        fs::write(home.path("bundle.json"), bundle).unwrap();
        Sample { home }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path(name)
    }
}

/// What a verb of the CA prints.
fn shown(home: &Home, line: &str) -> String {
    let place = home.path("");
    let ran = run(countersign()
        .current_dir(place)
        .arg("ca")
        .args(line.split(' ')));
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "ca {line}");
    ran.out
}

/// The certificates of a PEM file, one after the other in DER, as the Workload API has them.
fn ders(path: &Path) -> Vec<u8> {
    let certificates = CertificateDer::pem_file_iter(path).unwrap();
    certificates.flat_map(|der| der.unwrap().to_vec()).collect()
}

#[test]
fn the_crate_spiffe_reads_what_our_ca_issues() {
    let sample = Sample::new();
    let roots = ders(&sample.path("bundle.pem"));
    let domain = TrustDomain::new(DOMAIN).unwrap();
    let bundle = X509Bundle::parse_from_der(domain.clone(), &roots).unwrap();
    assert_eq!(bundle.authorities()[0].as_bytes(), roots);

    for name in SAMPLES {
        let key = PrivateKeyDer::from_pem_file(sample.path(name).join("key.pem")).unwrap();
        let chain = ders(&sample.path(name).join("svid.pem"));
        let svid = X509Svid::parse_from_der(&chain, key.secret_der()).unwrap();
        let id = SpiffeId::new(format!("spiffe://{DOMAIN}/{name}/v1.0_a")).unwrap();
        assert_eq!((svid.spiffe_id(), svid.cert_chain().len()), (&id, 2));
        assert_eq!(svid.spiffe_id().trust_domain(), &domain);
        assert_eq!(ders(&sample.path(name).join("bundle.pem")), roots);

        let root = X509Svid::parse_from_der(&roots, key.secret_der());
        let refused = root.unwrap_err().to_string();
        let wanted = "leaf certificate must have 'digitalSignature' set as key usage";
        assert_eq!(refused, wanted);
    }
}

const PYTHON: &str = r#"
import base64, json, pathlib, sys
import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.verification import PolicyBuilder, Store
from spiffe import TrustDomain, X509Bundle, X509Svid

place, domain = pathlib.Path(sys.argv[1]), TrustDomain(sys.argv[2])
spki = lambda key: key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
shown = X509Bundle.load(domain, place / "bundle.pem", Encoding.PEM)
verifier = PolicyBuilder().store(Store(list(shown.x509_authorities))).build_client_verifier()
for name in sys.argv[3:]:
    folder = place / name
    svid = X509Svid.load(folder / "svid.pem", folder / "key.pem", Encoding.PEM)
    assert svid.spiffe_id.trust_domain == domain, svid.spiffe_id
    assert spki(svid.private_key.public_key()) == spki(svid.leaf.public_key())
    believed = verifier.verify(svid.leaf, svid.cert_chain[1:])
    assert [each.value for each in believed.subjects] == [str(svid.spiffe_id)]
    assert X509Bundle.load(domain, folder / "bundle.pem", Encoding.PEM) == shown
    print(svid.spiffe_id)

# The roots as others fetch them: every entry for X.509, its certificate among the roots, its key the certificate's.
document = json.loads((place / "bundle.json").read_text())
assert isinstance(document["spiffe_sequence"], int) and document["spiffe_refresh_hint"] == 300, document
certificates = b""
for entry in document["keys"]:
    assert entry["use"] == "x509-svid" and len(entry["x5c"]) == 1, entry
    der = base64.b64decode(entry["x5c"][0], validate=True)
    one = X509Bundle.parse_raw(domain, der)
    assert spki(jwt.PyJWK(entry, algorithm="ES256").key) == spki(next(iter(one.x509_authorities)).public_key())
    certificates += der
assert X509Bundle.parse_raw(domain, certificates) == shown
print("roots:", len(document["keys"]))

try:
    X509Svid.load(place / "bundle.pem", folder / "key.pem", Encoding.PEM)
except Exception as refused:
    print(type(refused).__name__)
"#;

#[test]
#[ignore = "needs pip spiffe: .ci/parts"]
fn pypi_s_spiffe_believes_what_our_ca_issues_and_reads_its_roots_in_both_forms() {
    let sample = Sample::new();
    let ran = run(python()
        .args(["-c", PYTHON])
        .arg(sample.path(""))
        .arg(DOMAIN)
        .args(SAMPLES));
    assert_eq!(
        ran.out,
        "spiffe://shop.example/offline/v1.0_a\nspiffe://shop.example/online/v1.0_a\nroots: 1\nInvalidLeafCertificateError\n",
        "{}",
        ran.err
    );
}
