//! The commands of this project that documents show.

/// The lines in the fenced blocks of code of a document, without prompts.
pub(crate) fn code_lines(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_code = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("```") {
            is_code = !is_code;
        } else if is_code {
            found.push(line.strip_prefix("$ ").unwrap_or(line).to_owned());
        }
    }
    found
}

/// The commands of this project in a line of a shell, in words: all parts of a pipe that begin with one of
/// its programs, without what stands before (`NAME=value`) and behind (`> file`).
pub(crate) fn commands(line: &str) -> Vec<Vec<String>> {
    let is_ours = |command: &[String]| {
        let mut words = command.iter().map(String::as_str);
        match words.next() {
            Some("synergy" | "synergy-testbed") => true,
            Some("cargo") => matches!(words.next(), Some("run" | "testbed")),
            _ => false,
        }
    };
    let words = words(line);
    words
        .split(|word| ["|", "&&", "||", ";", "&"].contains(&word.as_str()))
        .map(|part| {
            let is_setting = |word: &&String| {
                let name = word.split_once('=').map(|(name, _)| name);
                name.is_some_and(|name| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
            };
            let is_redirect = |word: &String| word.starts_with(['<', '>']) || word == "2>";
            let begin = part.iter().take_while(is_setting).count();
            let end = part.iter().position(is_redirect).unwrap_or(part.len());
            part[begin..end.max(begin)].to_vec()
        })
        .filter(|command| is_ours(command))
        .collect()
}

/// Whether the program that a command names takes its arguments.
pub(crate) fn parses(command: &[String]) -> Result<(), String> {
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["synergy", arguments @ ..] => node::cli::parses(arguments),
        ["synergy-testbed", arguments @ ..] | ["cargo", "testbed", arguments @ ..] => {
            testbed::cli::parses(arguments)
        }
        ["cargo", "run", rest @ ..] => {
            let end = rest.iter().position(|word| *word == "--");
            let (of_cargo, arguments) = rest.split_at(end.unwrap_or(rest.len()));
            let arguments = arguments.get(1..).unwrap_or_default();
            let package = of_cargo
                .windows(2)
                .find(|pair| ["-p", "--package", "--bin"].contains(&pair[0]));
            match package.map(|pair| pair[1]) {
                None | Some("synergy-node" | "synergy") => node::cli::parses(arguments),
                Some("synergy-testbed") => testbed::cli::parses(arguments),
                Some(other) => Err(format!("{other} has no command line")),
            }
        }
        _ => Err("it is no command of this project".to_owned()),
    }
}

/// The words of a line as a shell would find them, as far as quotes and comments go.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if open == c => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[test]
fn commands_are_found_and_refused_where_they_should_be() {
    let text = "synergy outside of code\n```console\n$ synergy dance\n```\nsynergy outside again\n";
    assert_eq!(code_lines(text), ["synergy dance"]);
    for (line, taken) in [
        ("results, and what's more", &[][..]),
        ("synergy run app.toml --for 10s   # for a while", &[true]),
        ("cargo run --release -- run 'my app.toml' | head", &[true]),
        (
            "cat rows.csv | LANG=C cargo run -- run app.toml > rows",
            &[true],
        ),
        ("cargo run -p synergy-testbed -- bench engine", &[true]),
        ("cargo testbed bench stalled-sink --seconds 5", &[true]),
        ("synergy dance && synergy version", &[false, true]),
        ("cargo run -p synergy-testbed -- run app.toml", &[false]),
        ("cargo run", &[false]),
    ] {
        let found = commands(line);
        let found: Vec<bool> = found.iter().map(|it| parses(it).is_ok()).collect();
        assert_eq!(found, taken, "{line}");
    }
}
