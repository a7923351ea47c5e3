use super::*;
use model::Field;

fn schema() -> Schema {
    Schema::new(vec![
        Field::new("a", DataType::Int64),
        Field::new("line", DataType::Utf8),
    ])
    .unwrap()
}

#[test]
fn first() {
    let e = Expression::parse("A+1", &schema());
    println!("{e:?}");
    for t in [
        "a+1",
        "A+1",
        "a = 1 and (line) like 'x%'",
        "coalesce(a, 2)",
        "leng(a)",
        "now()",
        "current_date",
        "count(*)",
        "a +",
        "a b",
        "(select 1)",
        "nullif(a,0)",
        "a + line",
        "string_to_array(line, ' ')",
        "null",
        "interval '1' day",
        "\"line\" || \"interval\"",
        "?",
        "*",
        "1/0",
        "a::int",
        "cast(a as array<int>)",
        "trim(both from line)",
        "line ~ 'x+'",
        "substring(line from 2 for 3)",
        "upper(a)",
        "sum(a)",
        "a > 'x'",
        "foo.a",
        "extract(year from timestamp '2020-01-01')",
        "power(a)",
    ] {
        let e = Expression::parse(t, &schema());
        println!(
            "{t:30} {e:?} {}",
            e.as_ref()
                .err()
                .map(|e| format!("{e} | {:?}", e.expected()))
                .unwrap_or_default()
        );
    }
}
