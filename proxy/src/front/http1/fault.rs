//! Why bytes go nowhere.

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fault {
    /// Not `method SP target SP version CRLF`, or more than one empty line before it (RFC 9112 §2.2, §3).
    RequestLine,
    /// A method that is no token.
    Method,
    /// A target of bytes that no URI has, or of no form that a request has (RFC 9112 §3.2).
    Target,
    /// A target with a fragment, which no request has.
    Fragment,
    /// A target of more bytes than are read.
    TargetTooLong,
    /// A version of HTTP that is neither 1.0 nor 1.1.
    Version,
    /// A line that ends in LF alone.
    BareLf,
    /// CR that no LF follows.
    BareCr,
    /// A field over several lines (RFC 9112 §5.2).
    Fold,
    /// Whitespace before the first field (RFC 9112 §2.2).
    LeadingSpace,
    /// Whitespace between a field's name and its colon (RFC 9112 §5.1).
    SpaceBeforeColon,
    /// A field whose name is no token.
    FieldName,
    /// A field's value with a control character.
    FieldValue,
    /// HTTP/1.1 without Host (RFC 9112 §3.2).
    NoHost,
    /// More than one Host.
    TwoHosts,
    /// A head of more bytes than are read.
    HeadTooLarge,
    /// A head of more fields than are read.
    TooManyFields,
    /// More than one Content-Length, equal or not.
    TwoLengths,
    /// Content-Length that is not one number.
    Length,
    /// Content-Length beside Transfer-Encoding (RFC 9112 §6.1).
    LengthAndCoding,
    /// Transfer-Encoding that is not one list of codings that ends in the one `chunked`.
    Coding,
    /// A transfer coding that is not `chunked`.
    UnknownCoding,
    /// A transfer coding in HTTP/1.0, which has none.
    CodingInHttp10,
    /// A chunk's size that is no hexadecimal number, or beyond all bounds.
    ChunkSize,
    /// A chunk extension that is none (RFC 9112 §7.1.1).
    ChunkExtension,
    /// More bytes of chunk extensions than are read.
    ChunkExtensionsTooLarge,
    /// A chunk that goes on after its size, or whose data ends in no CRLF.
    ChunkEnd,
    /// Trailers of more bytes or fields than are read.
    TrailersTooLarge,
    /// Not `version SP status SP reason CRLF` (RFC 9112 §4).
    StatusLine,
    /// 101 to a request that asked for no other protocol.
    UnaskedSwitch,
    /// More interim answers than anybody has to say.
    TooManyInterim,
    /// An answer to no request, or bytes after one.
    Unsolicited,
    /// The end of the connection before that of a message.
    Cut,
}

impl Fault {
    /// A label that never changes.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::RequestLine => "bad_request_line",
            Self::Method => "bad_method",
            Self::Target => "bad_target",
            Self::Fragment => "fragment_in_target",
            Self::TargetTooLong => "target_too_long",
            Self::Version => "version_not_supported",
            Self::BareLf => "bare_lf",
            Self::BareCr => "bare_cr",
            Self::Fold => "folded_header",
            Self::LeadingSpace => "space_before_headers",
            Self::SpaceBeforeColon => "space_before_colon",
            Self::FieldName => "bad_header_name",
            Self::FieldValue => "bad_header_value",
            Self::NoHost => "no_host",
            Self::TwoHosts => "two_hosts",
            Self::HeadTooLarge => "head_too_large",
            Self::TooManyFields => "too_many_headers",
            Self::TwoLengths => "two_content_lengths",
            Self::Length => "bad_content_length",
            Self::LengthAndCoding => "content_length_and_transfer_encoding",
            Self::Coding => "bad_transfer_encoding",
            Self::UnknownCoding => "unknown_transfer_coding",
            Self::CodingInHttp10 => "transfer_encoding_in_http10",
            Self::ChunkSize => "bad_chunk_size",
            Self::ChunkExtension => "bad_chunk_extension",
            Self::ChunkExtensionsTooLarge => "chunk_extensions_too_large",
            Self::ChunkEnd => "bad_chunk_end",
            Self::TrailersTooLarge => "trailers_too_large",
            Self::StatusLine => "bad_status_line",
            Self::UnaskedSwitch => "switched_unasked",
            Self::TooManyInterim => "too_many_interim_answers",
            Self::Unsolicited => "unsolicited_answer",
            Self::Cut => "cut_short",
        }
    }
    /// The status of the answer to a request that has it.
    pub(crate) fn status(self) -> u16 {
        match self {
            Self::TargetTooLong => 414,
            Self::HeadTooLarge | Self::TooManyFields | Self::TrailersTooLarge => 431,
            Self::UnknownCoding => 501,
            Self::Version => 505,
            _ => 400,
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for Fault {}
