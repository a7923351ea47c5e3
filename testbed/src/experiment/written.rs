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
    let write = |name: String, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).with_context(|| path.display().to_string())
    };
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let json = serde_json::to_string_pretty(&report.json())?;
    write(format!("{name}.json"), &format!("{json}\n"))?;
    let page = format!("{}{}", report.page(), grid.page(shown));
    write(format!("{name}.md"), &page)?;
    for figure in shown {
        if !grid.curves(figure).is_empty() {
            write(format!("{name}.{figure}.svg"), &plot::draw(grid, figure)?)?;
        }
    }
    Ok(())
}
