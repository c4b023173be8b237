//! Leaves of our CA before the validators of others: OpenSSL, GnuTLS, Go's crypto/x509 and pyca's cryptography.
//!
//! Each sees the same two hundred leaves under two roots, and, so that its yes is worth something, one under the wrong root.

use ca::{Algorithm, Authority, Csr};
use config::{SpiffeId, TrustDomain};
use identity::Key;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

const LEAVES_PER_ROOT: usize = 100;

/// A folder of `root`, `issuer` and `leaf-N` in PEM for each of two authorities, and of the IDs that the leaves name.
struct Sample {
    place: TempDir,
}

impl Sample {
    fn new() -> Self {
        let place = TempDir::new().unwrap();
        for (name, root) in [("p256", Algorithm::P256), ("p384", Algorithm::P384)] {
            let folder = place.path().join(name);
            fs::create_dir(&folder).unwrap();
            fill(&folder, root);
        }
        Sample { place }
    }

    fn roots(&self) -> [PathBuf; 2] {
        ["p256", "p384"].map(|name| self.place.path().join(name))
    }
}

fn fill(folder: &Path, root: Algorithm) {
    let domain = TrustDomain::parse("shop.example").unwrap();
    let now = SystemTime::now();
    let authority = Authority::create(&domain, root, now).unwrap();
    let keys = [Key::generate().unwrap(), Key::generate_p384().unwrap()];
    let mut ids = String::new();
    for n in 0..LEAVES_PER_ROOT {
        let id = format!(
            "spiffe://shop.example/Team_{}/svc-{n}.v{}",
            n % 7,
            "x".repeat(n * 3)
        );
        let id = SpiffeId::parse(&id).unwrap();
        let request = identity::Csr::create(&keys[n % 2], &id).unwrap();
        let csr = Csr::from_der(request.der()).unwrap();
        let ttl = Duration::from_secs(600 + 850 * n as u64);
        let leaf = authority.certify(&csr, &id, ttl, now).unwrap();
        write(folder, &format!("leaf-{n}"), leaf.der());
        fs::write(
            folder.join(format!("chain-{n}.pem")),
            authority.chain_pem(&leaf),
        )
        .unwrap();
        ids += &format!("{id}\n");
    }
    write(folder, "issuer", authority.issuer().certificate().der());
    write(folder, "root", authority.root().certificate().der());
    fs::write(folder.join("ids"), ids).unwrap();
}

fn write(folder: &Path, name: &str, der: &[u8]) {
    let text = identity::pem::encode("CERTIFICATE", der);
    fs::write(folder.join(format!("{name}.pem")), text.as_bytes()).unwrap();
}

fn ran(command: &mut Command) -> Output {
    let name = command.get_program().to_owned();
    command
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}; run .ci/parts", name.display()))
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
#[ignore = "needs openssl: .ci/parts"]
fn openssl_believes_every_leaf_for_clients_and_servers() {
    let sample = Sample::new();
    let [ours, other] = sample.roots();
    let verify = |folder: &Path, root: &Path, purpose: &str, leaves: &[usize]| {
        let mut command = Command::new("openssl");
        command.args(["verify", "-x509_strict", "-purpose", purpose, "-CAfile"]);
        command
            .arg(root.join("root.pem"))
            .arg("-untrusted")
            .arg(folder.join("issuer.pem"));
        command.args(leaves.iter().map(|n| folder.join(format!("leaf-{n}.pem"))));
        ran(&mut command)
    };
    let all: Vec<usize> = (0..LEAVES_PER_ROOT).collect();
    for folder in [&ours, &other] {
        for purpose in ["sslserver", "sslclient"] {
            let output = verify(folder, folder, purpose, &all);
            let believed = said(&output)
                .lines()
                .filter(|line| line.ends_with(": OK"))
                .count();
            assert_eq!(believed, LEAVES_PER_ROOT, "{}", said(&output));
        }
    }
    let wrong = verify(&ours, &other, "sslserver", &[0]);
    assert!(!wrong.status.success(), "{}", said(&wrong));
}

#[test]
#[ignore = "needs gnutls-bin: .ci/parts"]
fn gnutls_believes_every_leaf() {
    let sample = Sample::new();
    let [ours, other] = sample.roots();
    let verify = |folder: &Path, root: &Path, n: usize| {
        let mut command = Command::new("certtool");
        command.args([
            "--verify",
            "--verify-profile",
            "medium",
            "--load-ca-certificate",
        ]);
        command
            .arg(root.join("root.pem"))
            .arg("--infile")
            .arg(folder.join(format!("chain-{n}.pem")));
        ran(&mut command)
    };
    for folder in [&ours, &other] {
        for n in 0..LEAVES_PER_ROOT {
            let output = verify(folder, folder, n);
            let believed =
                output.status.success() && said(&output).contains("The certificate is trusted.");
            assert!(believed, "leaf {n}: {}", said(&output));
        }
    }
    let wrong = verify(&ours, &other, 0);
    assert!(!wrong.status.success(), "{}", said(&wrong));
}

/// Prints the number of leaves that it believed; ends with 1 at the first that it did not.
const GO: &str = r#"
package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func read(path string) *x509.Certificate {
	text, err := os.ReadFile(path)
	check(path, err)
	block, _ := pem.Decode(text)
	certificate, err := x509.ParseCertificate(block.Bytes)
	check(path, err)
	return certificate
}

func check(path string, err error) {
	if err != nil {
		fmt.Println(path, err)
		os.Exit(1)
	}
}

func main() {
	folder, root := os.Args[1], os.Args[2]
	roots, issuers := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(read(filepath.Join(root, "root.pem")))
	issuers.AddCert(read(filepath.Join(folder, "issuer.pem")))
	text, err := os.ReadFile(filepath.Join(folder, "ids"))
	check("ids", err)
	believed := 0
	for n, id := range strings.Fields(string(text)) {
		path := filepath.Join(folder, fmt.Sprintf("leaf-%d.pem", n))
		leaf := read(path)
		for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
			_, err := leaf.Verify(x509.VerifyOptions{
				Roots: roots, Intermediates: issuers, KeyUsages: []x509.ExtKeyUsage{usage},
			})
			check(path, err)
		}
		if len(leaf.URIs) != 1 || leaf.URIs[0].String() != id || len(leaf.DNSNames) != 0 {
			check(path, fmt.Errorf("names %v", leaf.URIs))
		}
		if !leaf.BasicConstraintsValid || leaf.IsCA || leaf.KeyUsage != x509.KeyUsageDigitalSignature {
			check(path, fmt.Errorf("usages"))
		}
		believed++
	}
	fmt.Println(believed)
}
"#;

#[test]
#[ignore = "needs golang-go: .ci/parts"]
fn go_believes_every_leaf_and_reads_the_same_identity() {
    let sample = Sample::new();
    let [ours, other] = sample.roots();
    let program = sample.place.path().join("believes");
    fs::write(program.with_extension("go"), GO).unwrap();
    let mut build = Command::new("go");
    build
        .args(["build", "-o"])
        .arg(&program)
        .arg(program.with_extension("go"));
    // Nothing is fetched: the program needs the standard library alone.
    build.envs([
        ("GO111MODULE", "off"),
        ("CGO_ENABLED", "0"),
        ("GOTOOLCHAIN", "local"),
        ("GOFLAGS", ""),
    ]);
    build.env("GOCACHE", sample.place.path().join("cache"));
    let built = ran(&mut build);
    assert!(built.status.success(), "{}", said(&built));

    for folder in [&ours, &other] {
        let output = ran(Command::new(&program).args([folder, folder]));
        assert_eq!(said(&output), format!("{LEAVES_PER_ROOT}\n"));
    }
    let wrong = ran(Command::new(&program).args([&ours, &other]));
    assert!(
        said(&wrong).contains("certificate signed by unknown authority"),
        "{}",
        said(&wrong)
    );
}

/// As above. Its verifier for servers asks for a DNS name, which an SVID has not.
const PYTHON: &str = r#"
import pathlib, sys
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

folder, root = map(pathlib.Path, sys.argv[1:])
read = lambda path: x509.load_pem_x509_certificate(path.read_bytes())
verifier = PolicyBuilder().store(Store([read(root / "root.pem")])).build_client_verifier()
issuer = read(folder / "issuer.pem")
believed = 0
for n, id in enumerate((folder / "ids").read_text().split()):
    client = verifier.verify(read(folder / f"leaf-{n}.pem"), [issuer])
    assert [name.value for name in client.subjects] == [id], (n, client.subjects)
    believed += 1
print(believed)
"#;

#[test]
#[ignore = "needs pyca cryptography: .ci/parts"]
fn pyca_believes_every_leaf_and_reads_the_same_identity() {
    let sample = Sample::new();
    let [ours, other] = sample.roots();
    // .ci/parts puts it beside what cargo builds.
    let python = Path::new(env!("CARGO_BIN_EXE_countersign"))
        .ancestors()
        .nth(2)
        .unwrap()
        .join("parts/venv/bin/python");
    let verify = |folder: &Path, root: &Path| {
        ran(Command::new(&python)
            .args(["-c", PYTHON])
            .args([folder, root]))
    };
    for folder in [&ours, &other] {
        assert_eq!(
            said(&verify(folder, folder)),
            format!("{LEAVES_PER_ROOT}\n")
        );
    }
    let wrong = said(&verify(&ours, &other));
    assert!(wrong.contains("VerificationError"), "{wrong}");
}
