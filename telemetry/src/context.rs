//! Which trace a request belongs to, in whichever form its caller says so.
//!
//! In: the values of fields. Out: a [`TraceContext`], or nothing, which is what malformed ones count for. Pure, without an
//! allocation, and bounded: no value is looked at beyond what its form can have. The fields themselves pass on as they came,
//! malformed ones too: another reader may know them better.
//!
//! | form | fields | written down in |
//! |---|---|---|
//! | W3C | `traceparent`, `tracestate` | W3C Trace Context, §3.2 and §3.3 |
//! | B3, one field | `b3` | openzipkin/b3-propagation |
//! | B3, several fields | `x-b3-traceid`, `x-b3-spanid`, `x-b3-sampled`, `x-b3-flags` | the same |
//! | gRPC | `grpc-trace-bin` | the binary format of OpenCensus, in base64 as all `-bin` fields |
//!
//! 1. A form counts whole or not at all, and the first of the table that does is the one.
//! 2. A field that is there twice is malformed.

/// Where a request stands in its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// Never all zeros. Of a B3 id of 64 bits the first half is zero.
    pub trace_id: [u8; 16],
    /// The caller's span. Never all zeros.
    pub parent_id: [u8; 8],
    /// Whether it is recorded.
    pub sampled: Sampled,
    /// In which form it came, and is written back.
    pub form: Form,
}

/// What was decided about recording a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampled {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// It is, whatever else is decided (B3 alone).
    Debug,
    /// Nobody has decided yet (B3 alone).
    Deferred,
}

/// How a context is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `traceparent`.
    W3c,
    /// `b3`.
    B3Single,
    /// `x-b3-…`.
    B3Multi,
    /// `grpc-trace-bin`.
    Grpc,
}

impl TraceContext {
    /// Reads it. `once` gives the value of a field that is there exactly once.
    pub fn read<'a>(once: impl Fn(&'static str) -> Option<&'a [u8]>) -> Option<Self> {
        once("traceparent")
            .and_then(w3c)
            .or_else(|| once("b3").and_then(b3_single))
            .or_else(|| b3_multi(&once))
            .or_else(|| once("grpc-trace-bin").and_then(grpc))
    }
    fn of(trace_id: [u8; 16], parent_id: [u8; 8], sampled: Sampled, form: Form) -> Option<Self> {
        let is_id = trace_id != [0; 16] && parent_id != [0; 8];
        is_id.then_some(Self {
            trace_id,
            parent_id,
            sampled,
            form,
        })
    }
}

/// Members of a `tracestate` (W3C Trace Context §3.3.1.1): more make all of it count for nothing.
const MEMBERS_MAX: usize = 32;

/// Whether `tracestate`, which may be several fields, is well formed: at most 32 members, whose keys and values have at most 256
/// characters each. Malformed, it is passed on and counts for nothing.
pub fn is_tracestate<'a>(fields: impl IntoIterator<Item = &'a [u8]>) -> bool {
    let members = fields
        .into_iter()
        .flat_map(|field| field.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty());
    let mut count = 0;
    for member in members {
        count += 1;
        if count > MEMBERS_MAX || !is_member(member) {
            return false;
        }
    }
    count > 0
}

fn is_member(member: &[u8]) -> bool {
    let Some(at) = member.iter().position(|byte| *byte == b'=') else {
        return false;
    };
    let (key, value) = (&member[..at], &member[at + 1..]);
    let begins = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let goes_on = |byte: &u8| begins(byte) || b"_-*/@".contains(byte);
    key.len() <= 256
        && key.first().is_some_and(begins)
        && key.iter().all(goes_on)
        && (1..=256).contains(&value.len())
        && value
            .iter()
            .all(|byte| matches!(byte, b' '..=b'~') && *byte != b'=')
}

/// `00-<32 hex>-<16 hex>-<2 hex>`; later versions may say more behind another `-`.
fn w3c(value: &[u8]) -> Option<TraceContext> {
    let (head, rest) = value.split_at_checked(55)?;
    let [version] = hex(&head[..2])?;
    let dashes = [2, 35, 52].iter().all(|at| head[*at] == b'-');
    let is_whole = match version {
        0 => rest.is_empty(),
        0xff => false,
        _ => rest.first().is_none_or(|byte| *byte == b'-'),
    };
    let [flags] = hex(&head[53..])?;
    let sampled = match flags & 1 {
        1 => Sampled::Yes,
        _ => Sampled::No,
    };
    let context = TraceContext::of(hex(&head[3..35])?, hex(&head[36..52])?, sampled, Form::W3c);
    context.filter(|_| dashes && is_whole)
}

/// `<trace>-<span>[-<state>[-<parent>]]`. A state alone names no trace.
fn b3_single(value: &[u8]) -> Option<TraceContext> {
    let mut parts = value.split(|byte| *byte == b'-');
    let (trace_id, parent_id) = (long_or_short(parts.next()?)?, hex(parts.next()?)?);
    let sampled = match parts.next() {
        None => Sampled::Deferred,
        Some(b"1") => Sampled::Yes,
        Some(b"0") => Sampled::No,
        Some(b"d") => Sampled::Debug,
        Some(_) => return None,
    };
    if let Some(parent) = parts.next() {
        hex::<8>(parent)?;
    }
    match parts.next() {
        None => TraceContext::of(trace_id, parent_id, sampled, Form::B3Single),
        Some(_) => None,
    }
}

fn b3_multi<'a>(once: &impl Fn(&'static str) -> Option<&'a [u8]>) -> Option<TraceContext> {
    let trace_id = long_or_short(once("x-b3-traceid")?)?;
    let parent_id = hex(once("x-b3-spanid")?)?;
    let sampled = match (once("x-b3-flags"), once("x-b3-sampled")) {
        (Some(b"1"), _) => Sampled::Debug,
        (_, None) => Sampled::Deferred,
        // Before there was a standard it was written in words.
        (_, Some(b"1" | b"true")) => Sampled::Yes,
        (_, Some(b"0" | b"false")) => Sampled::No,
        (_, Some(_)) => return None,
    };
    TraceContext::of(trace_id, parent_id, sampled, Form::B3Multi)
}

/// A version of 0, then each field behind its number: trace, span, flags.
fn grpc(value: &[u8]) -> Option<TraceContext> {
    let bytes: [u8; 29] = base64(value)?;
    let numbers = [(0, 0), (1, 0), (18, 1), (27, 2)];
    let is_known = numbers.iter().all(|(at, number)| bytes[*at] == *number);
    let sampled = match bytes[28] & 1 {
        1 => Sampled::Yes,
        _ => Sampled::No,
    };
    let (trace_id, parent_id) = (
        bytes[2..18].try_into().ok()?,
        bytes[19..27].try_into().ok()?,
    );
    TraceContext::of(trace_id, parent_id, sampled, Form::Grpc).filter(|_| is_known)
}

/// An id of 128 bits, or the lower half of one.
fn long_or_short(digits: &[u8]) -> Option<[u8; 16]> {
    if digits.len() == 32 {
        return hex(digits);
    }
    let mut id = [0; 16];
    id[8..].copy_from_slice(&hex::<8>(digits)?);
    Some(id)
}

/// Exactly so many bytes in lower-case hexadecimal.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

/// Exactly so many bytes in base64 (RFC 4648 §4), padded or not.
fn base64<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let bare = text.strip_suffix(b"=").unwrap_or(text);
    let bare = bare.strip_suffix(b"=").unwrap_or(bare);
    let padded = text.len() != bare.len();
    if bare.len() != (N * 4).div_ceil(3) || padded && !text.len().is_multiple_of(4) {
        return None;
    }
    let (mut bytes, mut at, mut bits, mut held) = ([0; N], 0, 0u32, 0);
    for digit in bare {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        (bits, held) = ((bits << 6 | u32::from(value)) & 0xffff, held + 6);
        if held >= 8 {
            held -= 8;
            *bytes.get_mut(at)? = (bits >> held) as u8;
            at += 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
#[path = "context_tests.rs"]
mod tests;
