//! Real series from files of public data: rates and loads, one number a step.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use flate2::read::MultiGzDecoder;

/// Some series of one kind.
#[derive(Debug, Clone)]
pub struct Series {
    /// What others of its kind are called: that of the folder of its file.
    pub family: &'static str,
    /// Its own name.
    pub name: String,
    /// One or more runs of samples, each by itself: hosts that are alike make one series.
    pub runs: Vec<Vec<f64>>,
    /// By run: which other series of the family was recorded beside it, if one was; a rate that may tell of this one.
    pub beside: Option<String>,
}

/// All series that are in a folder of data, of each run at most so many samples from its beginning. A folder that is not there is left out.
///
/// # Errors
/// When a file that is there cannot be read or has no numbers where they should be.
pub fn load(data: &Path, samples: usize) -> anyhow::Result<Vec<Series>> {
    let mut all = Vec::new();
    for (family, read) in FAMILIES {
        let folder = data.join(family);
        if !folder.is_dir() {
            continue;
        }
        for (name, runs, beside) in read(&folder)? {
            let mut runs: Vec<Vec<f64>> = runs;
            runs.iter_mut().for_each(|run| run.truncate(samples));
            runs.retain(|run| !run.is_empty());
            all.push(Series {
                family,
                name,
                runs,
                beside,
            });
        }
    }
    Ok(all)
}

type Found = (String, Vec<Vec<f64>>, Option<String>);
type Reader = fn(&Path) -> anyhow::Result<Vec<Found>>;

/// How the files of each folder are read.
const FAMILIES: &[(&str, Reader)] = &[
    ("nab", nab),
    ("worldcup98", world_cup),
    ("requests_per_second", requests),
    ("bellcore_ethernet", bellcore),
    ("azure_llm_arrivals_2023", azure),
    ("planetlab_cpu_2011", tenth),
    ("google_cluster_vms", tenth),
    ("bitbrains_vm", bitbrains),
    ("wikipedia_pageviews", wikipedia),
];

fn nab(folder: &Path) -> anyhow::Result<Vec<Found>> {
    let mut found = Vec::new();
    for kind in files(folder, "")? {
        if !kind.is_dir() {
            continue;
        }
        for path in files(&kind, ".csv.gz")? {
            let name = stem(&path);
            // The volumes of companies were counted over the same time.
            let beside = match name.as_str() {
                "Twitter_volume_GOOG" => None,
                tweets if tweets.starts_with("Twitter") => Some("Twitter_volume_GOOG".to_owned()),
                _ => None,
            };
            let run = column(&text(&path)?, ',', 1, 1)?;
            found.push((name, vec![run], beside));
        }
    }
    Ok(found)
}

fn world_cup(folder: &Path) -> anyhow::Result<Vec<Found>> {
    let path = first(folder, ".csv.gz")?;
    let run = column(&text(&path)?, ',', 1, 1)?;
    Ok(vec![("worldcup98".to_owned(), vec![run], None)])
}

fn requests(folder: &Path) -> anyhow::Result<Vec<Found>> {
    let mut found = Vec::new();
    for path in files(folder, ".txt.gz")? {
        let run = column(&text(&path)?, ',', 0, 0)?;
        found.push((stem(&path), vec![run], None));
    }
    Ok(found)
}

/// Bytes in each hundredth and each tenth of a second.
fn bellcore(folder: &Path) -> anyhow::Result<Vec<Found>> {
    let text = text(&first(folder, ".TL")?)?;
    let mut packets = Vec::new();
    for line in text.lines() {
        let mut fields = line.split_whitespace();
        let (Some(at), Some(bytes)) = (fields.next(), fields.next()) else {
            continue;
        };
        packets.push((at.parse()?, bytes.parse()?));
    }
    Ok(vec![
        (
            "bellcore_10ms".to_owned(),
            vec![counted(&packets, 0.01)],
            None,
        ),
        (
            "bellcore_100ms".to_owned(),
            vec![counted(&packets, 0.1)],
            None,
        ),
    ])
}

/// Requests and tokens in each second and each ten.
fn azure(folder: &Path) -> anyhow::Result<Vec<Found>> {
    let text = text(&first(folder, ".csv.gz")?)?;
    let (mut requests, mut tokens) = (Vec::new(), Vec::new());
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let [at, input, _] = fields[..] else {
            continue;
        };
        let time = at.split_once(' ').context("a date and a time")?.1;
        let at = time.split(':').try_fold(0.0, |sum, part| {
            part.parse::<f64>().map(|part| sum * 60.0 + part)
        })?;
        requests.push((at, 1.0));
        tokens.push((at, input.parse()?));
    }
    let begin = requests.first().context("a request")?.0;
    for list in [&mut requests, &mut tokens] {
        list.iter_mut().for_each(|(at, _)| *at -= begin);
    }
    Ok(vec![
        (
            "azure_requests_1s".to_owned(),
            vec![counted(&requests, 1.0)],
            Some("azure_tokens_1s".to_owned()),
        ),
        (
            "azure_requests_10s".to_owned(),
            vec![counted(&requests, 10.0)],
            None,
        ),
        (
            "azure_tokens_1s".to_owned(),
            vec![counted(&tokens, 1.0)],
            Some("azure_requests_1s".to_owned()),
        ),
        (
            "azure_tokens_10s".to_owned(),
            vec![counted(&tokens, 10.0)],
            None,
        ),
    ])
}

/// Every tenth host of a file.
fn tenth(folder: &Path) -> anyhow::Result<Vec<Found>> {
    let path = first(folder, ".csv.gz")?;
    Ok(vec![(stem(&path), wide(folder, 10)?, None)])
}

/// Runs of which each stands on a line of its own, after the name of its host: every so many lines one.
pub(super) fn wide(folder: &Path, every: usize) -> anyhow::Result<Vec<Vec<f64>>> {
    let path = first(folder, ".csv.gz")?;
    let text = text(&path)?;
    let runs = text.lines().step_by(every).map(|line| {
        let fields = line.split(',').skip(1).map(|it| it.trim().parse());
        let run: Result<Vec<f64>, _> = fields.collect();
        run.with_context(|| path.display().to_string())
    });
    runs.collect()
}

fn bitbrains(folder: &Path) -> anyhow::Result<Vec<Found>> {
    let text = text(&first(folder, ".csv.gz")?)?;
    let found = [("cpu", 3), ("received", 9), ("transmitted", 10)];
    let found = found.map(|(name, index)| {
        Ok((
            format!("bitbrains_{name}"),
            vec![column(&text, ';', index, 1)?],
            None,
        ))
    });
    found.into_iter().collect()
}

/// Views a day, of which the files have logarithms, in the order of days.
fn wikipedia(folder: &Path) -> anyhow::Result<Vec<Found>> {
    let mut found = Vec::new();
    for path in files(folder, ".csv")? {
        let text = text(&path)?;
        let mut days = BTreeMap::new();
        for line in text.lines().skip(1) {
            let (day, views) = line.split_once(',').context("a day and its views")?;
            days.insert(day.to_owned(), views.trim().parse::<f64>()?.exp());
        }
        found.push((stem(&path), vec![days.into_values().collect()], None));
    }
    Ok(found)
}

/// What came in each interval of so many seconds.
fn counted(events: &[(f64, f64)], seconds: f64) -> Vec<f64> {
    let mut bins = Vec::new();
    let mut end = seconds;
    let mut sum = 0.0;
    for (at, amount) in events {
        while *at >= end {
            bins.push(std::mem::take(&mut sum));
            end += seconds;
        }
        sum += amount;
    }
    bins
}

/// The numbers of one column, below so many lines of head.
fn column(text: &str, separator: char, index: usize, head: usize) -> anyhow::Result<Vec<f64>> {
    let lines = text.lines().skip(head).filter(|line| !line.is_empty());
    let number = |line: &str| {
        let field = line.split(separator).nth(index);
        let number = field.and_then(|field| field.trim().parse().ok());
        number.ok_or_else(|| anyhow!("no number in column {index}: {line}"))
    };
    lines.map(number).collect()
}

/// What is in a file, unpacked.
pub(super) fn text(path: &Path) -> anyhow::Result<String> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let mut text = String::new();
    if path.extension().is_some_and(|it| it == "gz") {
        MultiGzDecoder::new(&bytes[..]).read_to_string(&mut text)?;
    } else {
        text = String::from_utf8(bytes)?;
    }
    Ok(text)
}

/// What lies in a folder and ends so, in order.
fn files(folder: &Path, end: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(end) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The first file of a folder that ends so.
pub(super) fn first(folder: &Path, end: &str) -> anyhow::Result<PathBuf> {
    let found = files(folder, end)?.into_iter().next();
    found.ok_or_else(|| anyhow!("{} has no file that ends in {end}", folder.display()))
}

fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.split('.').next().unwrap_or_default().to_owned()
}
