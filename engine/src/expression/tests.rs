use super::*;
use arrow_array::*;
use model::Field;

fn schema() -> Schema {
    Schema::new(vec![
        Field::new("a", DataType::Int64),
        Field::new("line", DataType::Utf8),
        Field::new("ok", DataType::Boolean),
    ])
    .unwrap()
}

fn batch() -> RecordBatch {
    RecordBatch::try_new(
        crate::columns::to_arrow(&schema()),
        vec![
            std::sync::Arc::new(Int64Array::from(vec![1, 2, 3])),
            std::sync::Arc::new(StringArray::from(vec!["x", "y z", ""])),
            std::sync::Arc::new(BooleanArray::from(vec![true, false, true])),
        ],
    )
    .unwrap()
}

pub(super) fn deep(shape: &str, n: usize) -> String {
    let r = |s: &str, k: usize| s.repeat(k);
    match shape {
        "plus" => format!("a{}", r("+a", n - 1)),
        "or" => format!("a=1{}", r(" or a=1", n - 1)),
        "or2" => format!(
            "a=1{}",
            (0..n)
                .map(|i| format!(" or a={i} and ok"))
                .collect::<String>()
        ),
        "cat" => format!("line{}", r("||line", n - 1)),
        "not" => format!("{}ok", r("not ", n)),
        "minus" => format!("{}a", r("- ", n)),
        "paren" => format!("{}a{}", r("(", n), r(")", n)),
        "parenplus" => format!("{}a{}", r("(a+", n), r(")", n)),
        "abs" => format!("{}a{}", r("abs(", n), r(")", n)),
        "upper" => format!("{}line{}", r("upper(", n), r(")", n)),
        "concat" => format!("{}line{}", r("concat('a',", n), r(")", n)),
        "coalesce" => format!("{}a{}", r("coalesce(a,", n), r(")", n)),
        "nvl2" => format!("{}a{}", r("nvl2(a,a,", n), r(")", n)),
        "nullif" => format!("{}1{}", r("nullif(a,", n), r(")", n)),
        "case" => format!("{}a{}", r("case when ok then a else ", n), r(" end", n)),
        "casec" => format!("{}ok{}", r("case when ", n), r(" then ok end", n)),
        "cast" => format!("a{}", r("::double", n)),
        "cast2" => format!("{}a{}", r("cast(", n), r(" as bigint)", n)),
        "isnull" => format!("a{}", r(" is null", n)),
        "istrue" => format!("ok{}", r(" is true", n)),
        "in" => format!("{}ok{}", r("ok in (ok, ", n), r(")", n)),
        "between" => format!(
            "{}a{}",
            r("a + case when a between 1 and ", n),
            r(" then 1 end", n)
        ),
        "like" => format!("line{}", r(" like line = ok", 1)),
        "interval" => format!("{}'1'", r("interval ", n)),
        "table" => format!("cast(a as {}int{}", r("table(x ", n), r(")", n)),
        "array" => format!("{}a{}", r("[", n), r("]", n)),
        "index" => format!("string_to_array(line,' '){}", r("[1]", n)),
        "substr" => format!("{}line{}", r("substring(", n), r(" from 1)", n)),
        "extract" => format!("{}line{}", r("trim(", n), r(")", n)),
        "regex" => format!("{}line{}", r("regexp_replace(", n), r(",'a','b')", n)),
        "date" => format!(
            "{}ts{}",
            r("date_trunc('day', to_timestamp(", n),
            r("))", n)
        ),
        "collate" => format!("line{}", r(" collate x", n)),
        "attz" => format!("timestamp '2020-01-01'{}", r(" at time zone 'UTC'", n)),
        "brace" => format!("{}a{}", r("{", n), r("}", n)),
        "odbc" => format!("{}a{}", r("{fn abs(", n), r(")}", n)),
        "struct" => format!("{}a{}", r("struct(", n), r(")", n)),
        "convert" => format!("{}a{}", r("convert(int,", n), r(")", n)),
        "exists" => format!("{}1{}", r("exists(select ", n), r(")", n)),
        "sub" => format!("{}1{}", r("(select ", n), r(")", n)),
        "any" => format!("{}ok{}", r("ok = any(", n), r(")", n)),
        "floor" => format!("{}a{}", r("floor(", n), r(")", n)),
        "position" => format!(
            "{}line{}",
            r("cast(position('a' in ", n),
            r(") as varchar)", n)
        ),
        "overlay" => format!("{}line{}", r("overlay(", n), r(" placing 'a' from 1)", n)),
        "notin" => format!("{}ok{}", r("ok not in (", n), r(")", n)),
        "intplus" => format!("{}'1 day'", r("interval '1 day' + ", n)),
        _ => panic!(),
    }
}

#[test]
fn trial() {
    let shape = std::env::var("SHAPE").unwrap();
    let n: usize = std::env::var("N").unwrap().parse().unwrap();
    let stack: usize = std::env::var("STACK")
        .map(|s| s.parse().unwrap())
        .unwrap_or(2048);
    let _ = &*functions::FUNCTIONS;
    std::thread::Builder::new()
        .stack_size(stack * 1024)
        .spawn(move || {
            let text = deep(&shape, n);
            let started = std::time::SystemTime::now();
            let e = Expression::parse(&text, &schema());
            let mut m = e
                .as_ref()
                .err()
                .map(|e| e.to_string())
                .unwrap_or("ok".into());
            m.truncate(90);
            let v = e
                .as_ref()
                .ok()
                .map(|e| e.evaluate(&batch()).map(|a| a.len()));
            println!(
                "RESULT {shape} {n}: {m} {v:?} {:?}",
                started.elapsed().unwrap()
            );
        })
        .unwrap()
        .join()
        .unwrap();
}
