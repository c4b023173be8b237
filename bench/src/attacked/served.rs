//! The attacked: two sidecars in a process of their own, from files that it writes.

use crate::online::Failed;
use mint::Authority;
use std::fmt::Write;
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;

const COMMON: &str = "\
identity:
  trustDomain: shop.example
  files: { certificate: svid.pem, key: key.pem, bundle: bundle.pem }
admin: { listen: \"127.0.0.1:0\" }
metrics: { listen: \"127.0.0.1:0\" }
health: { listen: \"127.0.0.1:0\" }
";

/// Runs `storefront`'s sidecar and that of `orders` before this app, with this `limits.idle`, until its input ends. Says where they
/// listen.
pub async fn serve(folder: &Path, app: SocketAddr, idle: &str) -> Result<(), Failed> {
    let root = Authority::root("shop.example");
    let issuer = root.issuer();
    let write = |who: &str, besides: &str| {
        let folder = folder.join(who);
        std::fs::create_dir_all(&folder)?;
        let id = format!("spiffe://shop.example/{who}");
        issuer.leaf(&id).write_files(&folder, &root.bundle_pem());
        let limits = format!(
            "limits: {{ connections: 30000, firstByte: 75s, streamIdle: 5s, idle: {idle} }}\n"
        );
        let path = folder.join("sidecar.yaml");
        std::fs::write(&path, format!("{COMMON}{limits}{besides}"))?;
        Ok::<_, Failed>(path)
    };
    let mut inbound = String::from("policy: { file: policy.yaml }\ninbound:\n");
    writeln!(
        inbound,
        "  - {{ name: web, listen: \"127.0.0.1:0\", app: \"{app}\", protocol: http }}"
    )?;
    let orders = write("orders", &inbound)?;
    let policy = "default: deny\nrules:\n  - name: all\n    from: [\"spiffe://shop.example/**\"]\n    allow: [{}]\n";
    std::fs::write(folder.join("orders/policy.yaml"), policy)?;
    let called = proxy::start(&orders).await?;
    let web = called.address("web").await.ok_or("no listener")?;
    let outbound = format!(
        "outbound:\n  - {{ name: http, listen: \"127.0.0.1:0\", protocol: http }}\nservices:\n  - {{ name: orders, hosts: \
         [orders], identity: \"spiffe://shop.example/orders\", endpoints: [\"{web}\"], timeout: 3s }}\n"
    );
    let calling = proxy::start(&write("storefront", &outbound)?).await?;
    let mut line = String::new();
    for address in [
        calling.address("http").await,
        Some(web),
        calling.address("metrics").await,
        called.address("metrics").await,
    ] {
        write!(line, "{} ", address.ok_or("no listener")?)?;
    }
    println!("{line}");
    // Until whoever measures has gone.
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    Ok(())
}
