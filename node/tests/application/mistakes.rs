//! Mistakes: what stands in a good file, what is put in its place, and all that is then said.

use super::{said, with};

#[test]
fn each_mistake_is_shown_where_it_is() {
    for (old, new, expected) in MISTAKES {
        assert_eq!(said(with(old, new)), expected.trim(), "{old:?} -> {new:?}");
    }
}

const MISTAKES: &[(&str, &str, &str)] = &[
    (
        "name = \"intrusion\"",
        "nme = \"intrusion\"",
        r#"
app.toml:2:1: unknown key "nme"
  2 | nme = "intrusion"
    | ^^^
  expected one of: name, qos, source, operator, sink (did you mean "name"?)
"#,
    ),
    (
        "name = \"intrusion\"",
        "name = \"1st\"",
        r#"
app.toml:2:8: "1st" is no name
  2 | name = "1st"
    |        ^^^^^
  expected a letter, then letters, digits, "_" or "-", at most 64 in all
"#,
    ),
    (
        "name = \"intrusion\"",
        "name = 7",
        r#"
app.toml:2:8: the name is not text
  2 | name = 7
    |        ^
  expected text in quotes: a letter, then letters, digits, "_" or "-", at most 64 in all
"#,
    ),
    (
        "latency = \"250ms\"",
        "latency = \"250 parsecs\"",
        r#"
app.toml:5:11: "250 parsecs" is no time span: the unit is not known
  5 | latency = "250 parsecs"
    |           ^^^^^^^^^^^^^
  expected a number and a unit, such as "250ms"; units are ns, us, ms, s, min, h, d
"#,
    ),
    (
        "latency = \"250ms\"",
        "latency = 250",
        r#"
app.toml:5:11: "latency" cannot be the number 250
  5 | latency = 250
    |           ^^^
  expected a time span such as "250ms"
"#,
    ),
    (
        "latency = \"250ms\"",
        "latency = \"0s\"",
        r#"
app.toml:5:11: the latency target must be above zero and at most an hour
  5 | latency = "0s"
    |           ^^^^
"#,
    ),
    (
        "latency = \"250ms\"",
        "latency = \"1ns\"",
        r#"
app.toml:5:11: "1ns" is no time span: it is finer than can be told apart
  5 | latency = "1ns"
    |           ^^^^^
  expected a number and a unit, such as "250ms"; units are ns, us, ms, s, min, h, d
"#,
    ),
    (
        "quantile = 0.95",
        "quantile = 95",
        r#"
app.toml:6:12: the quantile must be above 0 and at most 1, not 95
  6 | quantile = 95
    |            ^^
"#,
    ),
    (
        "quantile = 0.95",
        "quantile = nan",
        r#"
app.toml:6:12: "quantile" cannot be the number nan
  6 | quantile = nan
    |            ^^^
  expected a number above zero
"#,
    ),
    (
        "replicas = 1",
        "replicas = 8",
        r#"
app.toml:7:12: "replicas" cannot be the number 8
  7 | replicas = 8
    |            ^
  expected a whole number from 0 to 7
"#,
    ),
    (
        "\"wait\"",
        "\"wiat\"",
        r#"
app.toml:8:17: unknown word "wiat"
  8 | on_infeasible = "wiat"
    |                 ^^^^^^
  expected one of: reject, wait (did you mean "wait"?)
"#,
    ),
    (
        "[qos]",
        "[qso]",
        r#"
app.toml:4:2: unknown key "qso"
  4 | [qso]
    |  ^^^
  expected one of: name, qos, source, operator, sink (did you mean "qos"?)
"#,
    ),
    (
        "connector = \"rows\"",
        "connector = \"file\"",
        r#"
app.toml:11:13: unknown source connector "file"
  11 | connector = "file"
     |             ^^^^^^
  expected "rows"
"#,
    ),
    (
        "connector = \"rows\"\n",
        "",
        r#"
app.toml:10:9: the key "connector" is missing
  10 | [source.flows]
     |         ^^^^^
  expected text in quotes: which kind of connector it is
"#,
    ),
    (
        "connector = \"rows\"",
        "stream = \"lab/flows\"",
        r#"
app.toml:12:1: unknown key "path"
  12 | path = "a-${file:key}"
     | ^^^^
  expected one of: stream, rate
app.toml:13:1: unknown key "schema"
  13 | schema = { state = "string", src = "string", b…
     | ^^^^^^
  expected one of: stream, rate
app.toml:14:1: unknown key "time"
  14 | time = { out_of_order = "2s", field = "ts" }
     | ^^^^
  expected one of: stream, rate
app.toml:15:1: unknown key "speed"
  15 | speed = 2
     | ^^^^^
  expected one of: stream, rate
app.toml:16:1: unknown key "overflow"
  16 | overflow = "drop-oldest"
     | ^^^^^^^^
  expected one of: stream, rate
"#,
    ),
    (
        "${file:key}",
        "${file:none}",
        r#"
app.toml:12:8: the file "none" cannot be read: No such file or directory (os error 2)
  12 | path = "a-${file:none}"
     |        ^^^^^^^^^^^^^^^^
  expected "${env:NAME}" or "${file:PATH}", of what is there
"#,
    ),
    (
        "${file:key}",
        "${key}",
        r#"
app.toml:12:8: unknown reference "${key}"
  12 | path = "a-${key}"
     |        ^^^^^^^^^^
  expected "${env:NAME}" or "${file:PATH}", of what is there
"#,
    ),
    (
        "\"int64\"",
        "\"int46\"",
        r#"
app.toml:13:54: unknown type "int46"
  13 | …ate = "string", src = "string", bytes = "int46" }
     |                                          ^^^^^^^
  expected one of: boolean, int64, uint64, float64, string, timestamp (did you mean "int64"?)
"#,
    ),
    (
        "bytes = \"int64\"",
        "bytes = 64",
        r#"
app.toml:13:54: "schema.bytes" cannot be the number 64
  13 | …ate = "string", src = "string", bytes = 64 }
     |                                          ^^
  expected text in quotes
"#,
    ),
    (
        "speed = 2",
        "speed = 0",
        r#"
app.toml:15:9: "speed" cannot be the number 0
  15 | speed = 0
     |         ^
  expected a number above zero
"#,
    ),
    (
        "speed = 2",
        "spede = 2",
        r#"
app.toml:15:1: unknown key "spede"
  15 | spede = 2
     | ^^^^^
  expected one of: connector, rate, path, schema, time, speed, overflow (did you mean "speed"?)
"#,
    ),
    (
        "\"a-${file:key}\"",
        "\"missing.csv\"",
        r#"
app.toml:12:8: there is no such file
  12 | path = "missing.csv"
     |        ^^^^^^^^^^^^^
"#,
    ),
    (
        "out_of_order = \"2s\", field",
        "out_of_order = \"2s\", feld",
        r#"
app.toml:14:31: unknown key "feld"
  14 | time = { out_of_order = "2s", feld = "ts" }
     |                               ^^^^
  expected one of: field, out_of_order (did you mean "field"?)
"#,
    ),
    (
        "[\"syn\", \"flows\"]",
        "[\"syn\", 3]",
        r#"
app.toml:21:16: "from" cannot be the number 3
  21 | from = ["syn", 3]
     |                ^
  expected text in quotes
"#,
    ),
    (
        "[\"syn\", \"flows\"]",
        "[]",
        r#"
app.toml:21:8: "from" is empty
  21 | from = []
     |        ^^
  expected a stream such as "flows" or "scanners.late", or a list of streams
"#,
    ),
    (
        "[\"syn\", \"flows\"]",
        "[\"snyy\", \"flows.bda\"]",
        r#"
app.toml:21:9: unknown stream "snyy"
  21 | from = ["snyy", "flows.bda"]
     |         ^^^^^^
  expected one of: flows, both, syn
app.toml:21:17: "flows" has no port "bda"
  21 | from = ["snyy", "flows.bda"]
     |                 ^^^^^^^^^^^
  expected one of: out, bad (did you mean "bad"?)
"#,
    ),
    (
        "[\"syn\", \"flows\"]",
        "[\"syn\", \"elsewhere\"]",
        r#"
app.toml:21:16: unknown stream "elsewhere"
  21 | from = ["syn", "elsewhere"]
     |                ^^^^^^^^^^^
  expected one of: flows, both, syn
"#,
    ),
    (
        "[\"syn\", \"flows\"]",
        "[\"syn\", \"out\"]",
        r#"
app.toml:21:16: "out" is a sink: nothing can be read there
  21 | from = ["syn", "out"]
     |                ^^^^^
  expected a source or an operator
"#,
    ),
    (
        "[\"syn\", \"flows\"]",
        "[\"syn\", \"flows.bad\"]",
        r#"
app.toml:21:8: the streams differ in their columns
  21 | from = ["syn", "flows.bad"]
     |        ^^^^^^^^^^^^^^^^^^^^
"#,
    ),
    (
        "[\"syn\", \"flows\"]",
        "[\"flows\"]",
        r#"
app.toml:23:11: nothing reads "syn"
  23 | [operator.syn]
     |           ^^^
  expected an operator or sink with from = "syn", or no such operator
"#,
    ),
    (
        "use = \"filter\"\nfrom = \"flows\"",
        "use = \"filter\"\nfrom = [\"flows\", \"flows\"]",
        r#"
app.toml:25:8: 2 streams for an operator that reads one
  25 | from = ["flows", "flows"]
     |        ^^^^^^^^^^^^^^^^^^
  expected one stream; an operator with use = "union" makes one of several
"#,
    ),
    (
        "use = \"filter\"\nfrom = \"flows\"\nwhere = \"state\"",
        "use = \"meet\"\nfrom = \"flows\"\ninterval = { lower = \"-1s\", upper = \"1s\" }",
        r#"
app.toml:25:8: an operator that reads two streams was given 1
  25 | from = "flows"
     |        ^^^^^^^
  expected two streams, the left one and the right one: ["a", "b"]
"#,
    ),
    (
        "use = \"filter\"\nfrom = \"flows\"\nwhere = \"state\"",
        "use = \"meet\"\nfrom = [\"flows\", \"flows\"]\ninterval = { lower = \"--1s\", upper = 3 }",
        r#"
app.toml:26:22: "--1s" is no time span: there is no number
  26 | interval = { lower = "--1s", upper = 3 }
     |                      ^^^^^^
  expected a number and a unit, such as "250ms"; units are ns, us, ms, s, min, h, d
app.toml:26:38: "upper" cannot be the number 3
  26 | interval = { lower = "--1s", upper = 3 }
     |                                      ^
  expected a time span such as "250ms" or "-10s"
"#,
    ),
    (
        "use = \"filter\"\nfrom = \"flows\"",
        "use = \"filter\"\nfrom = \"both\"",
        r#"
app.toml:21:8: these operators read one another: both -> syn -> both
  21 | from = ["syn", "flows"]
     |        ^^^^^^^^^^^^^^^^
  expected streams that do not come from the operator itself
"#,
    ),
    (
        "use = \"filter\"\nfrom = \"flows\"",
        "use = \"filter\"\nfrom = \"syn\"",
        r#"
app.toml:25:8: these operators read one another: syn -> syn
  25 | from = "syn"
     |        ^^^^^
  expected streams that do not come from the operator itself
"#,
    ),
    (
        "use = \"filter\"",
        "use = \"fliter\"",
        r#"
app.toml:24:7: unknown operator "fliter"
  24 | use = "fliter"
     |       ^^^^^^^^
  expected one of: filter, pick, union, meet (did you mean "filter"?)
"#,
    ),
    (
        "where = \"state\"",
        "where = \"stat\"",
        r#"
app.toml:26:9: unknown column "stat"
  26 | where = "stat"
     |         ^^^^^^
  expected one of: state, src, bytes
"#,
    ),
    (
        "where = \"state\"",
        "where = \"\"\"\nstat\n\"\"\"",
        r#"
app.toml:26:9: unknown column "stat\n"
  26 | where = """
     |         ^^^
  expected one of: state, src, bytes
"#,
    ),
    (
        "where = \"state\"",
        "\twhere\t= 'st\\at\u{202e}'",
        r#"
app.toml:26:10: unknown column "st\\at\u{202e}"
  26 |     where    = 'st\at\u{202e}'
     |                ^^^^^^^^^^^^^^^
  expected one of: state, src, bytes
"#,
    ),
    (
        "where = \"state\"",
        "where = 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'",
        r#"
app.toml:26:9: unknown column "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
  26 | where = 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
     |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  expected one of: state, src, bytes
"#,
    ),
    (
        "where = \"state\"",
        "where = [\"state\"]",
        r#"
app.toml:26:9: "where" cannot be a list
  26 | where = ["state"]
     |         ^^^^^^^^^
  expected an SQL expression in quotes
"#,
    ),
    (
        "where = \"state\"\n",
        "",
        r#"
app.toml:23:11: the key "where" is missing
  23 | [operator.syn]
     |           ^^^
  expected an SQL expression in quotes: what it is for
"#,
    ),
    (
        "use = \"filter\"\nfrom = \"flows\"\nwhere = \"state\"",
        "use = \"pick\"\nfrom = \"flows\"\nselect = { a = \"stat\", b = \"src\", c = \"source\" }\nwindow = { tumbling = \"10\" }\nby = \"src\"",
        r#"
app.toml:27:23: "10" is no time span: there is no unit
  27 | window = { tumbling = "10" }
     |                       ^^^^
  expected a number and a unit, such as "250ms"; units are ns, us, ms, s, min, h, d
app.toml:28:6: "by" cannot be text
  28 | by = "src"
     |      ^^^^^
  expected a list of columns, ["a", "b"]
"#,
    ),
    (
        "use = \"filter\"\nfrom = \"flows\"\nwhere = \"state\"",
        "use = \"pick\"\nfrom = \"flows\"\nselect = { a = \"stat\", b = \"src\", c = \"source\" }",
        r#"
app.toml:26:16: unknown column "stat"
  26 | select = { a = "stat", b = "src", c = "source" }
     |                ^^^^^^
  expected one of: state, src, bytes
app.toml:26:39: unknown column "source"
  26 | select = { a = "stat", b = "src", c = "source" }
     |                                       ^^^^^^^^
  expected one of: state, src, bytes
"#,
    ),
    (
        "cost = \"80ns\"",
        "cost = \"1.5ns\"",
        r#"
app.toml:27:8: "1.5ns" is no time span: it is finer than can be told apart
  27 | cost = "1.5ns"
     |        ^^^^^^^
  expected a number and a unit, such as "250ms"; units are ns, us, ms, s, min, h, d
"#,
    ),
    (
        "place = { label",
        "place = { lable",
        r#"
app.toml:29:11: unknown key "lable"
  29 | place = { lable = { site = "a" } }
     |           ^^^^^
  expected one of: node, label (did you mean "label"?)
"#,
    ),
    (
        "[operator.syn]",
        "[operator.\"s n\"]",
        r#"
app.toml:21:9: unknown stream "syn"
  21 | from = ["syn", "flows"]
     |         ^^^^^
  expected one of: flows, both, s n (did you mean "s n"?)
app.toml:23:11: "s n" is no name
  23 | [operator."s n"]
     |           ^^^^^
  expected a letter, then letters, digits, "_" or "-", at most 64 in all
"#,
    ),
    (
        "[operator.syn]",
        "[operator.flows]",
        r#"
app.toml:21:9: unknown stream "syn"
  21 | from = ["syn", "flows"]
     |         ^^^^^
  expected one of: flows, both
app.toml:23:11: "flows" is there twice: a source and an operator
  23 | [operator.flows]
     |           ^^^^^
  expected a name of its own
"#,
    ),
    (
        "[operator.syn]",
        "[operator.both]",
        r#"
app.toml:21:9: unknown stream "syn"
  21 | from = ["syn", "flows"]
     |         ^^^^^
  expected one of: flows, both
app.toml:23:11: "both" is there twice
  23 | [operator.both]
     |           ^^^^
  expected each name once
"#,
    ),
    (
        "[operator.syn]",
        "[[operator]]",
        r#"
app.toml:21:9: unknown stream "syn"
  21 | from = ["syn", "flows"]
     |         ^^^^^
  expected one of: flows, both
app.toml:23:3: "operator" is there twice
  23 | [[operator]]
     |   ^^^^^^^^
  expected each name once
"#,
    ),
    (
        "[operator.syn]",
        "[operator.syn",
        r#"
app.toml:23:14: unclosed table
  23 | [operator.syn
     |              ^
  expected `]`
"#,
    ),
    (
        "where = \"state\"",
        "where = state",
        r#"
app.toml:26:9: string values must be quoted
  26 | where = state
     |         ^^^^^
  expected text in quotes
"#,
    ),
    (
        "where = \"state\"",
        "where = \"state",
        r#"
app.toml:26:15: invalid basic string
  26 | where = "state
     |               ^
  expected `"`
"#,
    ),
    (
        "where = \"state\"",
        "where = \"state\"\nwhere = \"src\"",
        r#"
app.toml:27:1: "where" is there twice
  27 | where = "src"
     | ^^^^^
  expected each name once
"#,
    ),
    (
        "[sink.out]\nfrom = \"both\"",
        "[sink.out]\nfrom = [\"syn\", \"both\"]",
        r#"
app.toml:32:8: 2 streams for a sink, which takes one
  32 | from = ["syn", "both"]
     |        ^^^^^^^^^^^^^^^
  expected one stream; an operator with use = "union" makes one of several
"#,
    ),
    (
        "[sink.out]\nfrom = \"both\"",
        "[sink.out]\nfrom = \"syn\"",
        r#"
app.toml:19:11: nothing reads "both"
  19 | [operator.both]
     |           ^^^^
  expected an operator or sink with from = "both", or no such operator
"#,
    ),
    (
        "${env:CARGO_PKG_NAME}",
        "${env:SYNERGY_NO_SUCH_VARIABLE}",
        r#"
app.toml:34:9: the environment variable "SYNERGY_NO_SUCH_VARIABLE" is not set to a text
  34 | token = "${env:SYNERGY_NO_SUCH_VARIABLE}"
     |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  expected "${env:NAME}" or "${file:PATH}", of what is there
"#,
    ),
    (
        "[operator.both]",
        "[oprator.both]",
        r#"
app.toml:19:2: unknown key "oprator"
  19 | [oprator.both]
     |  ^^^^^^^
  expected one of: name, qos, source, operator, sink (did you mean "operator"?)
"#,
    ),
    (
        "[sink.out]",
        "[snk.out]",
        r#"
app.toml:31:2: unknown key "snk"
  31 | [snk.out]
     |  ^^^
  expected one of: name, qos, source, operator, sink (did you mean "sink"?)
"#,
    ),
    (
        "[qos]",
        "qos = 3\n[x]",
        r#"
app.toml:4:7: "qos" is no table
  4 | qos = 3
    |       ^
  expected a table [qos]
app.toml:5:2: unknown key "x"
  5 | [x]
    |  ^
  expected one of: name, qos, source, operator, sink
"#,
    ),
    (
        "[operator.syn]",
        "[operator]\nsyn = 3\n[x]",
        r#"
app.toml:24:1: the operator "syn" is no table
  24 | syn = 3
     | ^^^
  expected tables [operator.NAME]
app.toml:25:2: unknown key "x"
  25 | [x]
     |  ^
  expected one of: name, qos, source, operator, sink
"#,
    ),
    (
        "cost = \"80ns\"",
        "cost = \"999999999h\"",
        r#"
app.toml:27:8: "999999999h" is no time span: it is too large
  27 | cost = "999999999h"
     |        ^^^^^^^^^^^^
  expected a number and a unit, such as "250ms"; units are ns, us, ms, s, min, h, d
"#,
    ),
    (
        "cost = \"80ns\"",
        "=\n@\ncost = \"80ns\"\n\"é\" = é",
        r#"
app.toml:27:1: unquoted keys cannot be empty
  27 | =
     | ^
  expected letters, numbers, `-`, `_`
app.toml:28:1: invalid unquoted key
  28 | @
     | ^
  expected letters, numbers, `-`, `_`
"#,
    ),
    (
        "where = \"state\"",
        "where = \"ünknown\", # ü",
        r#"
app.toml:26:18: unexpected key or value
  26 | where = "ünknown", # ü
     |                  ^
  expected newline, `#`
"#,
    ),
    (
        "speed = 2",
        "speed = 1e999",
        r#"
app.toml:15:9: "speed" cannot be the number 1e999
  15 | speed = 1e999
     |         ^^^^^
  expected a number above zero
"#,
    ),
    (
        "speed = 2",
        "speed = 9999999999999999999999",
        r#"
app.toml:15:9: "speed" cannot be the number 9999999999999999999999
  15 | speed = 9999999999999999999999
     |         ^^^^^^^^^^^^^^^^^^^^^^
  expected a number above zero
"#,
    ),
    (
        "speed = 2",
        "speed = 2020-01-01",
        r#"
app.toml:15:9: "speed" cannot be a date
  15 | speed = 2020-01-01
     |         ^^^^^^^^^^
  expected a number above zero
"#,
    ),
    (
        "overflow = \"drop-oldest\"",
        "overflow = true",
        r#"
app.toml:16:12: "overflow" cannot be true
  16 | overflow = true
     |            ^^^^
  expected one of: block, drop-oldest
"#,
    ),
];
