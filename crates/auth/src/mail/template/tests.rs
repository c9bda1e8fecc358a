//! What templates mean, what they refuse, and what values cannot do.

use super::*;
use serde_json::json;

fn html(text: &str, data: &Value) -> String {
    Template::parse("t.html", text, Format::Html)
        .expect("a template")
        .render(data)
        .expect("rendered")
}

fn text(text: &str, data: &Value) -> String {
    Template::parse("subject", text, Format::Text)
        .expect("a template")
        .render(data)
        .expect("rendered")
}

fn refused(text: &str) -> String {
    Template::parse("t.html", text, Format::Html)
        .expect_err("refused")
        .to_string()
}

#[test]
fn what_supabase_documents() {
    let data = json!({
        "ConfirmationURL": "https://api.test/auth/v1/verify?token=abc&type=signup&redirect_to=https://app.test/x",
        "Token": "123456", "SiteURL": "https://app.test", "Email": "a@x.test",
        "Data": {"name": "Ann", "roles": ["one", "two"], "age": 3, "plan": "pro"},
    });
    for (template, expected) in [
        ("<p>{{ .Token }}</p>", "<p>123456</p>"),
        (
            "{{.Data.name}} {{ .Data.missing }}{{ .Missing.deep }}|",
            "Ann |",
        ),
        (
            "{{ if .Data.name }}Hi {{ .Data.name }}{{ else }}Hi{{ end }}",
            "Hi Ann",
        ),
        (
            "{{ if eq .Data.plan \"pro\" }}a{{ else if eq .Data.plan \"b\" }}b{{ else }}c{{ end }}",
            "a",
        ),
        ("{{ if eq .Data.plan \"x\" \"pro\" }}a{{ end }}", "a"),
        (
            "{{ if and .Data.name (ne .Data.age 4) (not .Data.x) }}yes{{ end }}",
            "yes",
        ),
        ("{{ or .Data.nick .Data.name }} {{ and 1 0 2 }}", "Ann 0"),
        ("{{ range .Data.roles }}[{{ . }}]{{ end }}", "[one][two]"),
        (
            "{{ range $i, $r := .Data.roles }}{{ $i }}={{ $r }} {{ $.Token }};{{ end }}",
            "0=one 123456;1=two 123456;",
        ),
        ("{{ range .Data.none }}x{{ else }}none{{ end }}", "none"),
        ("{{ with .Data }}{{ .name }}{{ end }}", "Ann"),
        (
            "{{ with $d := .Data.nick }}{{ $d }}{{ else }}-{{ end }}",
            "-",
        ),
        (
            "{{ $x := .Token }}{{ $x | printf \"code %s\" }}",
            "code 123456",
        ),
        (
            "{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}",
            "2",
        ),
        ("a  {{- .Token -}}  b", "a123456b"),
        ("a{{/* no\n}} */}}b", "ab"),
        (
            "{{ len .Data.roles }} {{ index .Data.roles 1 }} {{ index .Data \"name\" }}",
            "2 two Ann",
        ),
        (
            "{{ if gt .Data.age 2 }}{{ if lt .Data.age 3.5 }}in{{ end }}{{ end }}",
            "in",
        ),
        ("{{ `raw` }}{{ \"q\\\"\" }}", "rawq&#34;"),
        (
            "<a href=\"{{ .ConfirmationURL }}\">x</a>",
            "<a href=\"https://api.test/auth/v1/verify?token=abc&amp;type=signup&amp;redirect_to=https://app.test/x\">x</a>",
        ),
        (
            "<a href='{{ .SiteURL }}/confirm?e={{ .Email }}&next={{ .SiteURL }}'>",
            "<a href='https://app.test/confirm?e=a%40x.test&next=https%3A%2F%2Fapp.test'>",
        ),
    ] {
        assert_eq!(html(template, &data), expected, "{template}");
    }
    assert_eq!(text("{{ .Data.name }} & <you>", &data), "Ann & <you>");
}

#[test]
fn values_stay_values() {
    let evil = r#"<img src=x onerror=alert(1)>"' onclick='x"#;
    for template in [
        "<p>{{ .X }}</p>",
        "<a title=\"{{ .X }}\">",
        "<a title='{{ .X }}'>",
        "<a title={{ .X }}>",
        "<a href=\"{{ .X }}\">",
        "<a href=\"https://x/?q={{ .X }}\">",
        "<a href={{ .X }}>",
        "<title>{{ .X }}</title>",
        "<p style=\"color: {{ .X }}\">",
        "<p style='{{ .X }}'>",
    ] {
        let (before, after) = template.split_once("{{ .X }}").expect("one value");
        let out = html(template, &json!({ "X": evil }));
        let inside = out
            .strip_prefix(before)
            .and_then(|rest| rest.strip_suffix(after))
            .expect("the template's own text is as it was");
        assert!(!inside.contains(['<', '>', '"', '\'']), "{out}");
        if template.contains("={{") {
            assert!(!inside.contains(char::is_whitespace), "{out}");
        }
    }
}

#[test]
fn addresses_that_run_are_not_followed() {
    for evil in [
        "javascript:alert(1)",
        " JaVaScRiPt:alert(1)",
        "\u{1}javascript:alert(1)",
        "java\tscript:alert(1)",
        "data:text/html,<script>",
        "vbscript:x",
    ] {
        let out = html("<a href=\"{{ .X }}\">", &json!({ "X": evil }));
        assert_eq!(out, "<a href=\"#blocked\">", "{evil}");
    }
    let out = html(
        "<a href=\"java{{ .X }}\">",
        &json!({ "X": "script:alert(1)" }),
    );
    assert_eq!(out, "<a href=\"javascript%3Aalert%281%29\">");
    for good in ["https://x.test/a?b=c%20d", "/a:b", "mailto:a@x", "page"] {
        let out = html("<a href=\"{{ .X }}\">", &json!({ "X": good }));
        assert_eq!(out, format!("<a href=\"{good}\">"));
    }
}

#[test]
fn mistakes_are_found_at_the_start_with_file_and_line() {
    for (template, message) in [
        ("a\n\n{{ .Token", "t.html:3: `{{` without `}}`"),
        ("{{ if .X }}\n", "t.html:1: `if` without `end`"),
        (
            "\n{{ end }}",
            "t.html:2: `end` without a block to belong to",
        ),
        (
            "\n{{ foo .X }}",
            "t.html:2: function \"foo\" is not defined",
        ),
        ("{{ eq .X }}", "t.html:1: eq does not take 1 arguments"),
        ("{{ $x }}", "t.html:1: undefined variable $x"),
        (
            "{{ if true }}{{ $x := 1 }}{{ end }}{{ $x }}",
            "t.html:1: undefined variable $x",
        ),
        (
            "{{ template \"x\" }}",
            "t.html:1: `template` is not supported in mail templates",
        ),
        (
            "{{ .X .Y }}",
            "t.html:1: a value or a function with its arguments was expected",
        ),
        (
            "{{ .X | .Y }}",
            "t.html:1: only a function can stand behind `|`",
        ),
        ("{{ }}", "t.html:1: a value is missing"),
        ("{{ \"x }}", "t.html:1: a string without an end"),
        ("{{/* x }}", "t.html:1: a comment without an end"),
        (
            "<script>\nlet x = {{ .X }}",
            "t.html:2: no value may stand inside <script>",
        ),
        (
            "<a onclick=\"{{ .X }}\">",
            "t.html:1: no value may stand in the attribute `onclick`",
        ),
        (
            "<{{ .X }}>",
            "t.html:1: no value may be part of a tag's name",
        ),
        (
            "<a {{ .X }}=1>",
            "t.html:1: a value in a tag must be an attribute's value, in quotes",
        ),
        (
            "<!-- {{ .X }} -->",
            "t.html:1: no value may stand in a comment",
        ),
        (
            "<a href=\"{{ .X }}>",
            "t.html:1: the document ends inside of a tag",
        ),
        (
            "{{ if .X }}<a title=\"{{ end }}",
            "t.html:1: the branches end in different places of the document",
        ),
        (
            "{{ range .X }}<b {{ end }}",
            "t.html:1: the branches end in different places of the document",
        ),
    ] {
        assert_eq!(refused(template), message, "{template}");
    }
    let deep = "{{ if true }}".repeat(100) + &"{{ end }}".repeat(100);
    assert_eq!(refused(&deep), "t.html:1: nested deeper than 32");
    assert!(refused(&"x".repeat(TEMPLATE_BYTES_MAX + 1)).contains("longer than"));
}

#[test]
fn a_loop_over_much_ends() {
    let many: Vec<u32> = (0..2000).collect();
    let template = "{{ range $.M }}{{ range $.M }}{{ range $.M }}x{{ end }}{{ end }}{{ end }}";
    let template = Template::parse("t", template, Format::Html).expect("a template");
    assert!(template.render(&json!({ "M": many })).is_err());
}

#[test]
fn fields_of_the_data_are_known() {
    let template = "{{ .Token }}{{ with .Data }}{{ .name }}{{ $.Email }}{{ end }}{{ .Tokn }}";
    let template = Template::parse("t", template, Format::Html).expect("a template");
    assert_eq!(template.fields(), ["Token", "Data", "Email", "Tokn"]);
}

proptest::proptest! {
    #[test]
    fn nothing_panics_and_values_add_no_tags(
        source in "(\\{\\{ ?(\\.A|if \\.A|end|else|range \\.A|\\$x := 1|\"q\"|-|eq \\.A 1) ?\\}\\}|<[a-z/!\"'= >-]{0,6}|[a-z \n]{1,3}){0,12}",
        value in "\\PC{0,12}",
    ) {
        if let Ok(template) = Template::parse("t", &source, Format::Html) {
            let plain = template.render(&json!({ "A": "x" })).unwrap_or_default();
            let other = template.render(&json!({ "A": format!("x{value}<b>\"'") })).unwrap_or_default();
            // `eq .A 1` and `if .A` decide alike for both.
            proptest::prop_assert_eq!(plain.matches('<').count(), other.matches('<').count());
        }
    }
}
