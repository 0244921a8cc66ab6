//! Whatever a name or a finding holds, each report can be read back by the rules of its format, and stays small.

use std::sync::LazyLock;

use jsonschema::Validator;
use proptest::prelude::*;
use pulldown_cmark::{Event as Piece, Options, Parser, Tag};
use regex::Regex;
use serde_json::Value;

use super::excerpt::line;
use super::format::{Format, Way};
use super::testing;
use crate::check::Outcome;

static SARIF: LazyLock<Validator> = LazyLock::new(|| validator(include_str!("../../reports/sarif-schema-2.1.0.json")));
static CTRF: LazyLock<Validator> = LazyLock::new(|| validator(include_str!("../../reports/ctrf.schema.json")));
static COMMAND: LazyLock<Regex> = LazyLock::new(|| {
    let escaped = "%(?:25|0A|0D)";
    Regex::new(&format!(
        "^::(?:error|warning|notice) title=(?:[^%:,\r\n]|{escaped}|%3A|%2C)*::(?:[^%\r\n]|{escaped})+$"
    ))
    .unwrap()
});
static PATH: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("^cluster(?:/(?:[A-Za-z0-9._~-]|%[0-9A-F]{2})+)*$").unwrap());
static TEST_POINT: LazyLock<Regex> = LazyLock::new(|| {
    let text = r"(?:[^\\#]|\\\\|\\#)*";
    Regex::new(&format!("^(?:not )?ok ([0-9]+) - {text}(?: # SKIP {text})?$")).unwrap()
});

fn validator(schema: &str) -> Validator {
    jsonschema::validator_for(&serde_json::from_str(schema).unwrap()).unwrap()
}

fn written(format: Format, texts: &[String; 8], outcome: Outcome) -> String {
    let Way::Whole(write) = format.way() else { panic!("{format:?} is not written as a whole") };
    testing::written(write, &testing::gathered(&testing::with_texts(texts, outcome)))
}

fn conforms(validator: &Validator, text: &str) -> Value {
    let value = serde_json::from_str(text).unwrap();
    let errors: Vec<_> = validator.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:?}: {text}");
    value
}

fn read_csv(text: &str) {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    let rows: Vec<_> = reader.records().map(|row| row.unwrap()).collect();
    assert!(rows.len() >= 2 && text.ends_with("\r\n"), "{text:?}");
    for cell in rows.iter().skip(1).flatten() {
        assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{cell:?} is a formula");
    }
}

fn read_annotations(text: &str) {
    for line in text.lines() {
        assert!(COMMAND.is_match(line), "{line:?}");
    }
    for level in ["::error ", "::warning ", "::notice "] {
        assert!(text.lines().filter(|line| line.starts_with(level)).count() <= 10, "{text}");
    }
}

/// Reads TAP by its grammar, and its blocks as YAML.
fn read_tap(text: &str) {
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("TAP version 14"));
    let plan: usize = lines.next().and_then(|line| line.strip_prefix("1..")).unwrap().parse().unwrap();
    let mut points = 0;
    while let Some(line) = lines.next() {
        if line == "  ---" {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "  ...").collect();
            let block = block.iter().map(|line| line.strip_prefix("  ").unwrap()).collect::<Vec<_>>().join("\n");
            let value: Value = serde_saphyr::from_str(&block).unwrap_or_else(|e| panic!("{e}: {block}"));
            assert!(value["message"].is_string(), "{block}");
        } else if let Some(point) = TEST_POINT.captures(line) {
            points += 1;
            assert_eq!(point[1].parse::<usize>().unwrap(), points);
        } else {
            assert!(line.starts_with("# ") || line.starts_with("Bail out! "), "{line:?}");
        }
    }
    assert_eq!(points, plan, "{text}");
}

/// What a reader sees of a page, which has no markup but its own.
fn read_markdown(text: &str) -> String {
    assert!(text.len() <= 65_536);
    let (mut shown, mut in_code) = (String::new(), false);
    for piece in Parser::new_ext(text, Options::ENABLE_TABLES | Options::ENABLE_GFM | Options::ENABLE_STRIKETHROUGH) {
        match piece {
            Piece::InlineHtml(html) => {
                assert!(["<code>", "</code>"].contains(&&*html), "{html}: {text}");
                in_code = &*html == "<code>";
            }
            Piece::Html(html) => panic!("{html}: {text}"),
            Piece::Start(tag @ (Tag::Link { .. } | Tag::Image { .. } | Tag::Emphasis | Tag::Strikethrough)) => {
                panic!("{tag:?}: {text}");
            }
            Piece::Start(Tag::CodeBlock(_)) => in_code = true,
            Piece::End(pulldown_cmark::TagEnd::CodeBlock) => in_code = false,
            Piece::Text(words) => {
                assert!(in_code || !words.contains('@'), "a mention in {words:?}: {text}");
                shown.push_str(&words);
            }
            Piece::Code(words) => shown.push_str(&words),
            Piece::SoftBreak | Piece::HardBreak | Piece::Start(_) | Piece::End(_) => shown.push(' '),
            other => panic!("{other:?}: {text}"),
        }
    }
    shown.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn read_back(format: Format, text: &str) {
    match format {
        Format::Sarif => {
            let log = conforms(&SARIF, text);
            let results = log["runs"][0]["results"].as_array().unwrap();
            for result in results {
                let location = &result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
                let uri = location.as_str().unwrap();
                assert!(PATH.is_match(uri), "{uri}");
            }
            for rule in log["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap() {
                assert!(rule["name"].as_str().unwrap().chars().count() <= 255);
                assert!(rule["shortDescription"]["text"].as_str().unwrap().chars().count() <= 1024);
                assert!(rule["properties"]["tags"].as_array().unwrap().len() <= 10);
            }
        }
        Format::Ctrf => {
            let report = conforms(&CTRF, text);
            assert_eq!(report["results"]["summary"]["tests"], report["results"]["tests"].as_array().unwrap().len());
        }
        Format::Csv => read_csv(text),
        Format::Github => read_annotations(text),
        Format::Tap => read_tap(text),
        Format::Markdown => _ = read_markdown(text),
        Format::Json | Format::OpenReports => _ = serde_json::from_str::<Value>(text).unwrap(),
        Format::Junit => _ = roxmltree::Document::parse(text).unwrap(),
        Format::Html => assert!(text.matches("</script>").count() == 1 && !text.contains("<img"), "{text}"),
        Format::OpenMetrics => assert!(text.lines().all(|line| line.starts_with(['#', 's'])), "{text}"),
        Format::Text | Format::Events => unreachable!("it is not written as a whole"),
    }
}

/// The formats that are written as a whole.
fn whole() -> impl Iterator<Item = Format> {
    let all = <Format as clap::ValueEnum>::value_variants().iter().copied();
    all.filter(|format| matches!(format.way(), Way::Whole(_)))
}

/// Any text, and more often than chance would have it what means something to a format, or hides something.
fn text() -> impl Strategy<Value = String> {
    let special = [
        "|",
        "`",
        "``` ",
        "\\",
        "<b>",
        "</code>",
        "<!-- ",
        "&amp;",
        "[a](b)",
        "![a](b)",
        "*",
        "_a_",
        "~~",
        "~",
        "> ",
        "@team",
        "a@b|c",
        "#12",
        " # SKIP ",
        "GH-3",
        "https://a.b/",
        "$x$",
        "%0A",
        "%",
        "::error::",
        "\r\n::error::x",
        "##[error]",
        ",",
        ":",
        "=1+1",
        "+",
        "-",
        "@",
        "\"",
        "'",
        "\n",
        "\r",
        "\t",
        "\n  ...\n",
        "\nok 1",
        "  ---",
        "{0}",
        "{",
        "]",
        "](1)",
        "..",
        "/",
        "\u{0}",
        "\u{1b}[31m",
        "\u{202e}",
        "\u{2028}",
        "\u{85}",
        "\u{feff}",
        "\u{fffe}",
        "\u{1fffe}",
        "]]>",
    ];
    let piece = prop_oneof![any::<String>(), prop::sample::select(special.to_vec()).prop_map(ToOwned::to_owned)];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_a_report_malformed(
        texts in prop::array::uniform8(text()),
        outcome in prop::sample::select(Outcome::ALL.as_slice()),
    ) {
        for format in whole() {
            read_back(format, &written(format, &texts, outcome));
        }
    }

    #[test]
    fn markdown_shows_every_text_as_it_is(texts in prop::array::uniform8(text())) {
        for outcome in [Outcome::Fail, Outcome::Warn] {
            let shown = read_markdown(&written(Format::Markdown, &texts, outcome));
            // Of the finding, in lists and in cells of a table.
            for text in &texts[4..6] {
                prop_assert!(shown.contains(&line(text, 600)), "{text:?}: {shown}");
            }
        }
    }
}

#[test]
fn a_megabyte_of_text_makes_no_report_large() {
    for piece in ["x", "|", "@a ", "#\n", "=\"", "\u{1b}", "\u{202e}"] {
        let texts = [(); 8].map(|()| piece.repeat(1_000_000 / piece.len()));
        for outcome in Outcome::ALL {
            for format in whole().filter(|format| !matches!(format, Format::Json | Format::Junit | Format::OpenReports))
            {
                let text = written(format, &texts, outcome);
                assert!(text.len() < 300_000, "{format:?} with {piece:?} has {} bytes", text.len());
                read_back(format, &text);
            }
        }
    }
}
