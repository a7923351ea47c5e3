//! Curves over an axis, as SVG.

use anyhow::anyhow;
use plotters::prelude::*;

use super::grid::{Curve, Grid};

/// The size of a plot. Unit: pixels. Source: two fit side by side on a page.
const SIZE: (u32, u32) = (760, 460);

/// The colors of curves, in order. Source: Okabe and Ito's, which people who see few colors can tell apart.
const COLORS: [RGBColor; 8] = [
    RGBColor(153, 153, 153),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 114, 178),
    RGBColor(240, 228, 66),
    RGBColor(204, 121, 167),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
];

/// A figure of a grid, one curve for each series, with its intervals.
///
/// # Errors
/// When the plot cannot be drawn.
pub fn draw(grid: &Grid, figure: &str) -> anyhow::Result<String> {
    let curves = grid.curves(figure);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        plot(&area, grid, figure, &curves).map_err(|error| anyhow!("{figure}: {error}"))?;
        area.present()
            .map_err(|error| anyhow!("{figure}: {error}"))?;
    }
    Ok(svg)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn plot(
    area: &Area<'_>,
    grid: &Grid,
    figure: &str,
    curves: &[Curve],
) -> Result<(), Box<dyn std::error::Error>> {
    area.fill(&WHITE)?;
    let points = curves.iter().flat_map(|curve| &curve.points);
    let places = points.clone().map(|(place, _)| *place);
    let (left, right) = places.fold((f64::MAX, f64::MIN), |(low, high), it| {
        (low.min(it), high.max(it))
    });
    let top = points.map(|(_, it)| it.high).fold(0.0, f64::max);
    let margin = ((right - left) * 0.03).max(1e-9);
    let mut chart = ChartBuilder::on(area)
        .caption(format!("{}: {figure}", grid.name()), ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(42)
        .y_label_area_size(64)
        .build_cartesian_2d(left - margin..right + margin, 0.0..(top * 1.08).max(1e-9))?;
    chart
        .configure_mesh()
        .x_desc(grid.axis())
        .y_desc(figure)
        .light_line_style(WHITE)
        .label_style(("sans-serif", 13))
        .draw()?;
    for (curve, color) in curves.iter().zip(COLORS.iter().cycle()) {
        let style = color.stroke_width(2);
        let line = curve.points.iter().map(|(place, it)| (*place, it.mean));
        chart
            .draw_series(LineSeries::new(line.clone(), style))?
            .label(&curve.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        chart.draw_series(line.map(|point| Circle::new(point, 3, color.filled())))?;
        let intervals = curve.points.iter().map(|(place, it)| {
            PathElement::new([(*place, it.low), (*place, it.high)], color.stroke_width(1))
        });
        chart.draw_series(intervals)?;
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .label_font(("sans-serif", 13))
        .draw()?;
    Ok(())
}
