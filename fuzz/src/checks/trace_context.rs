//! Which trace a request belongs to.

use crate::context::{Form, Sampled, TraceContext, is_tracestate};
use data_encoding::Specification;

/// A context is what a model reads out of the same fields, written with numbers and lists. Lines of `name: value`.
pub fn check(data: &[u8]) {
    let mut fields = Vec::new();
    for line in data.split(|byte| *byte == b'\n').take(16) {
        let colon = line.iter().position(|byte| *byte == b':');
        if let Some((name, value)) = colon.map(|at| line.split_at(at)) {
            fields.push((name, value[1..].trim_ascii()));
        }
    }
    let all = |wanted: &str| -> Vec<&[u8]> {
        let named = fields.iter().filter(|(name, _)| *name == wanted.as_bytes());
        named.map(|(_, value)| *value).collect()
    };
    let once = |wanted: &'static str| match all(wanted)[..] {
        [value] => Some(value),
        _ => None,
    };
    let seen = TraceContext::read(once).map(|context| {
        let trace_id = u128::from_be_bytes(context.trace_id);
        let parent_id = u64::from_be_bytes(context.parent_id);
        (trace_id, parent_id, context.sampled, context.form)
    });
    assert_eq!(seen, model(once));

    let states = all("tracestate");
    let well_formed = model_of_state(&states).unwrap_or(false);
    assert_eq!(is_tracestate(states.iter().copied()), well_formed);
}

type Context = (u128, u64, Sampled, Form);

fn model<'a>(once: impl Fn(&'static str) -> Option<&'a [u8]> + Copy) -> Option<Context> {
    let text = |name| std::str::from_utf8(once(name)?).ok();
    let contexts = [
        // What a later version adds may be anything.
        once("traceparent").and_then(|value| w3c(&String::from_utf8_lossy(value))),
        text("b3").and_then(b3),
        b3_fields(text, once),
        once("grpc-trace-bin").and_then(grpc),
    ];
    let is_some = |context: &Context| context.0 != 0 && context.1 != 0;
    contexts.into_iter().flatten().find(is_some)
}

/// Lower-case hexadecimal of just so many digits.
fn digits(text: &str, count: usize) -> Option<u128> {
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let fits = text.len() == count && text.bytes().all(lower);
    fits.then(|| u128::from_str_radix(text, 16).ok())?
}

fn span(text: &str) -> Option<u64> {
    digits(text, 16)?.try_into().ok()
}

fn trace(text: &str) -> Option<u128> {
    digits(text, 32).or_else(|| digits(text, 16))
}

fn recorded(flags: u128) -> Sampled {
    if flags % 2 == 1 {
        Sampled::Yes
    } else {
        Sampled::No
    }
}

fn w3c(text: &str) -> Option<Context> {
    let parts: Vec<&str> = text.split('-').collect();
    let [version, trace_id, parent_id, flags, rest @ ..] = &parts[..] else {
        return None;
    };
    let version = digits(version, 2)?;
    let is_whole = version != 0xff && (version != 0 || rest.is_empty());
    let sampled = recorded(digits(flags, 2)?);
    let context = (digits(trace_id, 32)?, span(parent_id)?, sampled, Form::W3c);
    is_whole.then_some(context)
}

fn b3(text: &str) -> Option<Context> {
    let parts: Vec<&str> = text.split('-').collect();
    let sampled = match parts.get(2) {
        None => Sampled::Deferred,
        Some(&"0") => Sampled::No,
        Some(&"1") => Sampled::Yes,
        Some(&"d") => Sampled::Debug,
        Some(_) => return None,
    };
    if let Some(parent) = parts.get(3) {
        span(parent)?;
    }
    let context = (
        trace(parts[0])?,
        span(parts.get(1)?)?,
        sampled,
        Form::B3Single,
    );
    (parts.len() <= 4).then_some(context)
}

fn b3_fields<'a>(
    text: impl Fn(&'static str) -> Option<&'a str>,
    once: impl Fn(&'static str) -> Option<&'a [u8]>,
) -> Option<Context> {
    let (trace_id, parent_id) = (trace(text("x-b3-traceid")?)?, span(text("x-b3-spanid")?)?);
    let sampled = match (once("x-b3-flags"), once("x-b3-sampled")) {
        (Some(b"1"), _) => Sampled::Debug,
        (_, None) => Sampled::Deferred,
        (_, Some(b"1" | b"true")) => Sampled::Yes,
        (_, Some(b"0" | b"false")) => Sampled::No,
        (_, Some(_)) => return None,
    };
    Some((trace_id, parent_id, sampled, Form::B3Multi))
}

fn grpc(value: &[u8]) -> Option<Context> {
    let mut specification = Specification::new();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    specification.symbols.push_str(alphabet);
    specification.check_trailing_bits = false;
    let encoding = specification.encoding().expect("RFC 4648 §4");
    // 29 bytes are 39 digits: padded, there is one `=`.
    let bare = match value.len() {
        40 => value.strip_suffix(b"=")?,
        _ => value,
    };
    let bytes = encoding.decode(bare).ok()?;
    if bytes.len() != 29 || (bytes[0], bytes[1], bytes[18], bytes[27]) != (0, 0, 1, 2) {
        return None;
    }
    let trace_id = u128::from_be_bytes(bytes[2..18].try_into().ok()?);
    let parent_id = u64::from_be_bytes(bytes[19..27].try_into().ok()?);
    Some((trace_id, parent_id, recorded(bytes[28].into()), Form::Grpc))
}

/// W3C Trace Context §3.3.1.
fn model_of_state(fields: &[&[u8]]) -> Option<bool> {
    let text = fields.join(&b',');
    let text = String::from_utf8(text).ok()?;
    let members: Vec<&str> = text
        .split(',')
        .map(|member| member.trim_matches(|c: char| c.is_ascii_whitespace()))
        .filter(|member| !member.is_empty())
        .collect();
    let is_member = |member: &&str| {
        let Some((key, value)) = member.split_once('=') else {
            return false;
        };
        let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        key.starts_with(lower)
            && key.chars().all(|c| lower(c) || "_-*/@".contains(c))
            && key.len() <= 256
            && (1..=256).contains(&value.len())
            && value.chars().all(|c| (' '..='~').contains(&c) && c != '=')
    };
    Some((1..=32).contains(&members.len()) && members.iter().all(is_member))
}
