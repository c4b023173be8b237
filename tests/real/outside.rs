//! Services outside the mesh that are real: nginx in ordinary TLS, Redis in clear text, behind an app's own sidecar alone.

use crate::support::example::free_port;
use crate::support::mesh::Domain;
use crate::support::process::{Process, Ran, run};
use mint::{San, Svid};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use tempfile::TempDir;

/// The certificate of a web server: a DNS name, no trust domain.
fn of_web_server(of: &Domain, name: &str) -> Svid {
    of.issuer
        .leaf_with("", |draft| draft.san = Some(vec![San::dns(name)]))
}

/// nginx, which says of each request how it came.
struct Nginx {
    port: u16,
    _server: Process,
    _place: TempDir,
}

impl Nginx {
    fn start(svid: &Svid, protocols: &str) -> Self {
        let (place, port) = (TempDir::new().unwrap(), free_port());
        let write = |name: &str, text: &str| std::fs::write(place.path().join(name), text).unwrap();
        write("server.pem", &svid.chain_pem());
        write("server.key", &svid.key.pem());
        write(
            "nginx.conf",
            &format!(
                "daemon off; master_process off; pid nginx.pid; error_log stderr warn;\n\
                 events {{}}\n\
                 http {{\n\
                   access_log off;\n\
                   client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n\
                   server {{\n\
                     listen 127.0.0.1:{port} ssl http2;\n\
                     ssl_certificate server.pem; ssl_certificate_key server.key; ssl_protocols {protocols};\n\
                     ssl_verify_client optional_no_ca;\n\
                     location / {{ return 200 \"$server_protocol $ssl_protocol $scheme $ssl_server_name [$ssl_client_verify] [$http_x_forwarded_client_cert]\\n\"; }}\n\
                   }}\n\
                 }}\n"
            ),
        );
        let mut command = Command::new("nginx");
        command
            .arg("-p")
            .arg(place.path())
            .arg("-c")
            .arg(place.path().join("nginx.conf"))
            .env(
                "PATH",
                format!("{}:/usr/sbin", std::env::var("PATH").unwrap()),
            );
        let server = Process::start(&mut command);
        listens(port);
        Nginx {
            port,
            _server: server,
            _place: place,
        }
    }
}

/// Waits until something listens there: neither of the two says so in a line that all of their versions have.
fn listens(port: u16) {
    let began = std::time::Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(began.elapsed().as_secs() < 20, "nothing listens on {port}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn curl(at: SocketAddr, flag: &str) -> Ran {
    run(Command::new("curl").args([
        "-q",
        "-sS",
        "--max-time",
        "20",
        flag,
        "-H",
        "Host: api.partner.example",
        "-H",
        "x-forwarded-client-cert: URI=spiffe://shop.example/me",
        &format!("http://{at}/x"),
    ]))
}

#[test]
#[ignore = "needs nginx and curl: .ci/parts"]
fn nginx_in_ordinary_tls_is_called_by_its_name_and_told_of_nobody() {
    let (shop, public) = (Domain::new("shop.example"), Domain::new("public.example"));
    let right = of_web_server(&public, "api.partner.example");
    let wrong = of_web_server(&public, "www.partner.example");
    let newest = Nginx::start(&right, "TLSv1.2 TLSv1.3");
    let older = Nginx::start(&right, "TLSv1.2");
    let other = Nginx::start(&wrong, "TLSv1.2 TLSv1.3");
    let storefront = shop.member("storefront");
    storefront.write("roots.pem", &public.root.bundle_pem());
    let (mut outbound, mut services) = (String::new(), String::new());
    for (name, nginx) in [("newest", &newest), ("older", &older), ("other", &other)] {
        let port = nginx.port;
        outbound += &format!(
            "  - {{ name: {name}, listen: \"127.0.0.1:0\", protocol: http, service: {name} }}\n"
        );
        services += &format!(
            "  - {{ name: {name}, endpoints: [\"127.0.0.1:{port}\"], tls: {{ server: {{ sni: api.partner.example, roots: roots.pem }} }} }}\n"
        );
    }
    storefront.configure(&format!("outbound:\n{outbound}services:\n{services}"));
    let sidecar = storefront.start();

    for (name, flag, wanted) in [
        ("newest", "--http1.1", "HTTP/1.1 TLSv1.3"),
        ("newest", "--http2-prior-knowledge", "HTTP/2.0 TLSv1.3"),
        ("older", "--http1.1", "HTTP/1.1 TLSv1.2"),
        ("older", "--http2-prior-knowledge", "HTTP/2.0 TLSv1.2"),
    ] {
        let ran = curl(sidecar.at(name), flag);
        let wanted = format!("{wanted} https api.partner.example [NONE] []\n");
        assert_eq!(ran.out, wanted, "{name} {flag}: {}", ran.err);
    }
    for flag in ["--http1.1", "--http2-prior-knowledge"] {
        let refused = curl(sidecar.at("other"), flag);
        assert_eq!(
            refused.out, "{\"error\":\"wrong_name\"}\n",
            "{}",
            refused.err
        );
    }
    sidecar.logged("a call", |line| {
        line["service"] == "older" && line["tls"] == "server" && line["status"] == 200
    });
}

#[test]
#[ignore = "needs redis-server: .ci/parts"]
fn redis_without_a_sidecar_is_called_in_clear_text_where_it_is_written_so() {
    let (place, port) = (TempDir::new().unwrap(), free_port());
    let server = Process::start(
        Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
            .args(["--save", "", "--dir"])
            .arg(place.path()),
    );
    server.out.wait_for("Redis", |line| {
        line.contains("Ready to accept connections").then_some(())
    });
    let storefront = Domain::new("shop.example").member("storefront");
    storefront.configure(&format!(
        "outbound: [{{ name: cache, listen: \"127.0.0.1:0\", protocol: tcp, service: redis }}]\n\
         services: [{{ name: redis, endpoints: [\"127.0.0.1:{port}\"], tls: none }}]\n"
    ));
    let sidecar = storefront.start();
    let cli = |script: &str| {
        let port = sidecar.at("cache").port();
        let script = format!("cli() {{ redis-cli -p {port} \"$@\"; }}\n{script}");
        run(Command::new("timeout").args(["20", "bash", "-c", &script]))
    };

    let ran = cli("cli SET fruit pears; cli GET fruit\n\
         for n in $(seq 2000); do echo \"INCR counter\"; done | cli --pipe | tail -n 1");

    assert_eq!(
        ran.out, "OK\npears\nerrors: 0, replies: 2000\n",
        "{}",
        ran.err
    );
    sidecar.logged("a connection", |line| {
        line["listener"] == "cache" && line["tls"] == "none" && line["service"] == "redis"
    });
}
