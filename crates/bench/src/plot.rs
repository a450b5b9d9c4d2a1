//! Curves as SVG files.

use std::path::Path;

use herald_trial::{Error, Result};
use plotters::prelude::*;

use crate::curves::Curve;

const SIZE: (u32, u32) = (720, 420);
const COLOURS: [RGBColor; 4] = [
    RGBColor(0x1f, 0x77, 0xb4),
    RGBColor(0xd6, 0x27, 0x28),
    RGBColor(0x2c, 0xa0, 0x2c),
    RGBColor(0x7f, 0x7f, 0x7f),
];

/// Draws a curve into `directory` with a logarithmic x axis, because x grows by factors.
pub fn draw(curve: &Curve, directory: &Path) -> Result<()> {
    let file = directory.join(curve.name).with_extension("svg");
    draw_into(curve, &file)
        .map_err(|error| Error::Setup(format!("drawing {}: {error}", file.display())))
}

fn draw_into(curve: &Curve, file: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let points = || curve.lines.iter().flat_map(|(_, points)| points);
    // 0 has no logarithm: draw it one step left of the least.
    let least = points()
        .map(|(x, _)| *x)
        .filter(|x| *x > 0.0)
        .fold(f64::MAX, f64::min);
    let zero = least / 10.0;
    let at = |x: f64| if x > 0.0 { x } else { zero };
    let left = points().map(|(x, _)| at(*x)).fold(f64::MAX, f64::min);
    let right = points().map(|(x, _)| *x).fold(0.0, f64::max);
    let top = points().map(|(_, y)| *y).fold(0.0, f64::max);
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(curve.title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(42)
        .y_label_area_size(70)
        .build_cartesian_2d((left * 0.8..right * 1.25).log_scale(), 0.0..top * 1.1)?;
    chart
        .configure_mesh()
        .x_desc(curve.x)
        .y_desc(curve.y)
        .x_label_formatter(&|x| crate::finding::rounded(*x))
        .y_label_formatter(&|y| crate::finding::rounded(*y))
        .draw()?;
    for ((name, points), colour) in curve.lines.iter().zip(COLOURS) {
        let places: Vec<(f64, f64)> = points.iter().map(|(x, y)| (at(*x), *y)).collect();
        chart
            .draw_series(LineSeries::new(places.clone(), colour.stroke_width(2)))?
            .label(*name)
            .legend(move |(x, y)| {
                PathElement::new(vec![(x, y), (x + 18, y)], colour.stroke_width(2))
            });
        chart.draw_series(
            places
                .into_iter()
                .map(|place| Circle::new(place, 3, colour.filled())),
        )?;
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    root.present()?;
    Ok(())
}
