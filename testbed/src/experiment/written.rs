//! What an experiment writes: its report, a page of tables, and a plot of each figure that is shown.

use std::path::Path;

use anyhow::Context;

use super::grid::Grid;
use super::plot;
use crate::bench::report::Report;

/// Writes `NAME.json`, `NAME.md` and `NAME.FIGURE.svg` into a folder, which is made. A figure that no series has is not drawn.
///
/// # Errors
/// When a file cannot be written; others may have been.
pub(super) fn write(
    folder: &Path,
    grid: &Grid,
    report: &Report,
    shown: &[&str],
) -> anyhow::Result<()> {
    let name = grid.name();
    let page = format!("{}{}", report.page(), grid.page(shown));
    begin(folder, name, report, &page)?;
    for figure in shown {
        if !grid.curves(figure).is_empty() {
            file(
                folder,
                format!("{name}.{figure}.svg"),
                &plot::draw(grid, figure)?,
            )?;
        }
    }
    Ok(())
}

/// Writes `NAME.json` and `NAME.md` of what goes over no axis into a folder, which is made.
///
/// # Errors
/// When a file cannot be written; the other may have been.
pub(crate) fn report(folder: &Path, name: &str, report: &Report) -> anyhow::Result<()> {
    let table = report.body();
    let page = format!("{}\n```text\n{}\n```\n", report.page(), table.trim_end());
    begin(folder, name, report, &page)
}

fn begin(folder: &Path, name: &str, report: &Report, page: &str) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let json = serde_json::to_string_pretty(&report.json())?;
    file(folder, format!("{name}.json"), &format!("{json}\n"))?;
    file(folder, format!("{name}.md"), page)
}

fn file(folder: &Path, name: String, text: &str) -> anyhow::Result<()> {
    let path = folder.join(name);
    std::fs::write(&path, text).with_context(|| path.display().to_string())
}
