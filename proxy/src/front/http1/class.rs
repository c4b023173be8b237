//! Which bytes may stand where.

/// A tchar (RFC 9110 §5.6.2): methods, field names, names and values of chunk extensions.
pub(super) const TOKEN: u8 = 1;
/// What a field's value may hold (RFC 9110 §5.5): visible characters, spaces, tabs and what is beyond ASCII.
pub(super) const VALUE: u8 = 2;
/// What a target may hold before its query.
pub(super) const PATH: u8 = 4;
/// What a query may hold.
pub(super) const QUERY: u8 = 8;
/// What an authority may hold (RFC 3986 §3.2).
pub(super) const AUTHORITY: u8 = 16;
/// What a scheme may hold (RFC 3986 §3.1).
pub(super) const SCHEME: u8 = 32;
/// What a quoted string may hold besides `"` and `\` (RFC 9110 §5.6.4).
pub(super) const QUOTED: u8 = 64;

static CLASS: [u8; 256] = table();

/// Whether a byte is of a class.
pub(super) fn is(byte: u8, class: u8) -> bool {
    CLASS[byte as usize] & class != 0
}

/// How many bytes in front are of a class.
pub(super) fn run(bytes: &[u8], class: u8) -> usize {
    let other = bytes.iter().position(|byte| !is(*byte, class));
    other.unwrap_or(bytes.len())
}

/// The same of [`VALUE`], eight bytes at a time: most of a head is values.
pub(super) fn run_of_value(bytes: &[u8]) -> usize {
    let (words, _) = bytes.as_chunks::<8>();
    let mut at = 0;
    for word in words {
        let plain = plain(*word);
        at += plain;
        if plain < word.len() {
            break;
        }
    }
    at + run(&bytes[at..], VALUE)
}

/// How many of them in front are no control characters; a tab counts as one here.
fn plain(bytes: [u8; 8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    let word = u64::from_le_bytes(bytes);
    // The high bit of each byte that is less than a space, and of each that is DEL; borrows only ever say too much, and only of
    // bytes behind the first of them.
    let low = word.wrapping_sub(ONES * 0x20) & !word;
    let other = word ^ (ONES * 0x7f);
    let del = other.wrapping_sub(ONES) & !other;
    ((low | del) & HIGH).trailing_zeros() as usize / 8
}

const fn table() -> [u8; 256] {
    let mut table = [0; 256];
    let mut at = 0u8;
    loop {
        table[at as usize] = classes(at);
        if at == u8::MAX {
            return table;
        }
        at += 1;
    }
}

const fn classes(byte: u8) -> u8 {
    let word = byte.is_ascii_alphanumeric();
    let unreserved = word || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let sub_delim = matches!(
        byte,
        b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
    );
    let in_authority = unreserved || sub_delim || matches!(byte, b':' | b'@' | b'[' | b']' | b'%');
    // Not of RFC 3986, but sent as they are by whatever follows the URL standard of browsers, and of one meaning to all.
    let sent_all_the_same = matches!(byte, b'\\' | b'^' | b'{' | b'|' | b'}');
    let in_path = in_authority || byte == b'/' || sent_all_the_same;
    let in_query = in_path || matches!(byte, b'?' | b'`');
    let is_token =
        word || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_'
        ) || matches!(byte, b'`' | b'|' | b'~');
    let in_value = matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
    let in_scheme = word || matches!(byte, b'+' | b'-' | b'.');
    let in_quoted = in_value && !matches!(byte, b'"' | b'\\');
    all(is_token, TOKEN)
        | all(in_value, VALUE)
        | all(in_path, PATH)
        | all(in_query, QUERY)
        | all(in_authority, AUTHORITY)
        | all(in_scheme, SCHEME)
        | all(in_quoted, QUOTED)
}

const fn all(belongs: bool, class: u8) -> u8 {
    if belongs { class } else { 0 }
}
