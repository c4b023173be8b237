#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

fn read(fields: &[(&str, &str)]) -> Option<TraceContext> {
    TraceContext::read(|name| {
        let mut values = fields.iter().filter(|(held, _)| *held == name);
        let first = values.next()?.1.as_bytes();
        values.next().is_none().then_some(first)
    })
}

#[track_caller]
fn check(fields: &[(&str, &str)], expected: Option<(Form, Sampled)>) {
    let context = read(fields);
    let seen = context.map(|context| (context.form, context.sampled));
    assert_eq!(seen, expected, "{fields:?}");
    if let Some(context) = context {
        assert_eq!(context.parent_id, hex(SPAN.as_bytes()).unwrap());
        assert_eq!(
            context.trace_id[8..],
            hex::<16>(TRACE.as_bytes()).unwrap()[8..]
        );
    }
}

#[test]
fn traceparent_is_read_as_w3c_writes_it() {
    let check = |value: &str, expected: Option<Sampled>| {
        let expected = expected.map(|sampled| (Form::W3c, sampled));
        check(&[("traceparent", value)], expected);
    };
    check(&format!("00-{TRACE}-{SPAN}-01"), Some(Sampled::Yes));
    check(&format!("00-{TRACE}-{SPAN}-00"), Some(Sampled::No));
    check(&format!("00-{TRACE}-{SPAN}-ff"), Some(Sampled::Yes));
    check(&format!("cc-{TRACE}-{SPAN}-01-later"), Some(Sampled::Yes));
    check(&format!("cc-{TRACE}-{SPAN}-01"), Some(Sampled::Yes));
    for bad in [
        String::new(),
        format!("00-{TRACE}-{SPAN}"),
        format!("00-{TRACE}-{SPAN}-1"),
        format!("00-{TRACE}-{SPAN}-01-more"),
        format!("cc-{TRACE}-{SPAN}-01.more"),
        format!("ff-{TRACE}-{SPAN}-01"),
        format!("0-{TRACE}-{SPAN}-01 "),
        format!("00-{}-{SPAN}-01", "0".repeat(32)),
        format!("00-{TRACE}-{}-01", "0".repeat(16)),
        format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
        format!("00_{TRACE}_{SPAN}_01"),
        format!(" 00-{TRACE}-{SPAN}-01"),
        format!("00-{TRACE}-{SPAN}-0g"),
        "00-é".repeat(20),
    ] {
        check(&bad, None);
    }
}

#[test]
fn a_field_that_is_there_twice_counts_for_nothing_and_the_next_form_does() {
    let good = format!("00-{TRACE}-{SPAN}-01");
    check(&[("traceparent", &good), ("traceparent", &good)], None);
    let b3 = format!("{TRACE}-{SPAN}-0");
    check(
        &[("traceparent", "x"), ("b3", &b3)],
        Some((Form::B3Single, Sampled::No)),
    );
    check(
        &[("traceparent", &good), ("b3", &b3)],
        Some((Form::W3c, Sampled::Yes)),
    );
}

#[test]
fn b3_is_read_in_one_field_and_in_several_with_long_and_short_ids() {
    let short = &TRACE[16..];
    let single = |value: &str, expected: Option<Sampled>| {
        check(&[("b3", value)], expected.map(|it| (Form::B3Single, it)));
    };
    single(&format!("{TRACE}-{SPAN}-1"), Some(Sampled::Yes));
    single(&format!("{TRACE}-{SPAN}-d-{SPAN}"), Some(Sampled::Debug));
    single(&format!("{short}-{SPAN}"), Some(Sampled::Deferred));
    for bad in [
        "0",
        "1",
        "d",
        "",
        &format!("{TRACE}-{SPAN}-2"),
        &format!("{TRACE}-{SPAN}-1-x"),
    ] {
        single(bad, None);
    }
    single(&format!("{TRACE}-{SPAN}-1-{SPAN}-1"), None);
    let multi = |more: &[(&str, &str)], expected: Option<Sampled>| {
        let ids = [("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN)];
        let fields = [&ids, more].concat();
        check(&fields, expected.map(|it| (Form::B3Multi, it)));
    };
    multi(&[], Some(Sampled::Deferred));
    multi(&[("x-b3-sampled", "1")], Some(Sampled::Yes));
    multi(&[("x-b3-sampled", "false")], Some(Sampled::No));
    multi(
        &[("x-b3-flags", "1"), ("x-b3-sampled", "0")],
        Some(Sampled::Debug),
    );
    multi(&[("x-b3-sampled", "yes")], None);
    multi(&[("x-b3-spanid", SPAN)], None);
    check(&[("x-b3-traceid", TRACE)], None);
}

/// Trace, span, and flags of 1.
const BINARY: &str = "AAAK92UZFs1D3YRI6yEcgDGcAbeta3FpIDMxAgE";

#[test]
fn grpc_is_read_in_base64_padded_or_not() {
    let check = |value: &str, expected: Option<Sampled>| {
        let expected = expected.map(|it| (Form::Grpc, it));
        check(&[("grpc-trace-bin", value)], expected);
    };
    check(BINARY, Some(Sampled::Yes));
    check(&format!("{BINARY}="), Some(Sampled::Yes));
    check(&BINARY.replace("AgE", "AgA"), Some(Sampled::No));
    for bad in [
        "",
        "AAAA",
        &BINARY[1..],
        &format!("{BINARY}=="),
        &BINARY.replace('K', "*"),
    ] {
        check(bad, None);
    }
    // Another version, and another number of a field.
    check(&BINARY.replacen('A', "B", 1), None);
    check(&BINARY.replace("AgE", "AwE"), None);
}

#[test]
fn a_tracestate_has_at_most_32_members_of_good_keys_and_values() {
    let check = |fields: &[&str], expected| {
        let fields = fields.iter().map(|field| field.as_bytes());
        assert_eq!(is_tracestate(fields), expected);
    };
    check(&["rojo=00f067aa0ba902b7, congo=t61rcWkgMzE"], true);
    check(&["a=1", "tenant@vendor=x y"], true);
    check(&["a=1,,b=2,"], true);
    for bad in [
        "", "a", "=1", "a=", "A=1", "a b=1", "a=b=c", "a=\u{e9}", "_a=1",
    ] {
        check(&[bad], false);
    }
    let many = |count: usize| {
        (0..count)
            .map(|n| format!("k{n}=v"))
            .collect::<Vec<_>>()
            .join(",")
    };
    check(&[&many(32)], true);
    check(&[&many(33)], false);
    check(&[&format!("{}=v", "k".repeat(257))], false);
    check(&[&format!("k={}", "v".repeat(257))], false);
}
