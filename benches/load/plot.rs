//! Pictures, on a ground of their own, so that they can be read on a dark page too.

use std::path::Path;

use anyhow::{anyhow, ensure};
use plotters::{
    chart::SeriesLabelPosition,
    coord::ranged1d::{Ranged, ValueFormatter},
    prelude::*,
};

use super::results::{Load, MixLoad, Pair, Series};

const GROUND: RGBColor = RGBColor(0xfc, 0xfc, 0xfa);
const INK: RGBColor = RGBColor(0x24, 0x29, 0x2f);
const FAINT: RGBColor = RGBColor(0xd8, 0xdb, 0xdf);
/// Told apart by those who do not see red and green (Okabe and Ito).
const COLOURS: [RGBColor; 4] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
];
const FONT: &str = "sans-serif";

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// One line of a panel.
struct Line {
    name: String,
    /// In which style: a reference is faint and dashed.
    reference: bool,
    points: Vec<(f64, f64)>,
}

/// One diagram of a picture; the axis below is logarithmic.
struct Panel {
    title: String,
    /// Whether the other axis is, too; else it begins at nothing.
    logarithmic: bool,
    x: String,
    y: String,
    lines: Vec<Line>,
}

/// Throughput, latency and processor time over the number of connections.
pub(crate) fn load(load: &Load, file: &Path) -> anyhow::Result<()> {
    let mut panels = Vec::new();
    for mix in &load.mixes {
        let over = |value: fn(&Pair) -> f64, name: &str| line(mix, value, name);
        let title = |what: &str| format!("{}: {what}", mix.mix);
        let x = "connections".to_owned();
        panels.push(Panel {
            title: title("throughput"),
            logarithmic: false,
            x: x.clone(),
            y: "reviews a second".to_owned(),
            lines: vec![
                over(|pair| pair.bare.rate, "bare server"),
                over(|pair| pair.tidegate.rate, "tidegate"),
            ],
        });
        panels.push(Panel {
            title: title("time to the answer"),
            logarithmic: true,
            x: x.clone(),
            y: "microseconds".to_owned(),
            lines: vec![
                over(|pair| pair.bare.p50 as f64 / 1e3, "bare, p50"),
                over(|pair| pair.tidegate.p50 as f64 / 1e3, "tidegate, p50"),
                over(|pair| pair.bare.p99 as f64 / 1e3, "bare, p99"),
                over(|pair| pair.tidegate.p99 as f64 / 1e3, "tidegate, p99"),
            ],
        });
        panels.push(Panel {
            title: title("processor time"),
            logarithmic: false,
            x,
            y: "microseconds a review".to_owned(),
            lines: vec![
                over(|pair| pair.bare.cpu, "bare server"),
                over(|pair| pair.tidegate.cpu, "tidegate"),
            ],
        });
    }
    picture(file, &panels, 3)
}

fn line(mix: &MixLoad, value: fn(&Pair) -> f64, name: &str) -> Line {
    let points = mix.closed.iter().map(|pair| (pair.connections as f64, value(pair)));
    Line { name: name.to_owned(), reference: false, points: points.collect() }
}

/// Instructions over each dimension, beside what would be linear.
pub(crate) fn growth(series: &[Series], file: &Path) -> anyhow::Result<()> {
    let panels: Vec<_> = series
        .iter()
        .map(|series| {
            let points = series.points.iter().map(|(x, y)| (*x as f64, *y as f64));
            let points: Vec<_> = points.collect();
            // Through the last point, because there the share that grows is the largest.
            let (last_x, last_y) = points.last().copied().unwrap_or((1.0, 1.0));
            let linear = points.iter().map(|(x, _)| (*x, last_y * x / last_x)).collect();
            Panel {
                title: series.name.clone(),
                logarithmic: true,
                x: series.axis.clone(),
                y: "instructions a review".to_owned(),
                lines: vec![
                    Line { name: "linear".to_owned(), reference: true, points: linear },
                    Line { name: "measured".to_owned(), reference: false, points },
                ],
            }
        })
        .collect();
    picture(file, &panels, 2)
}

fn picture(file: &Path, panels: &[Panel], columns: usize) -> anyhow::Result<()> {
    ensure!(!panels.is_empty(), "there is nothing to draw");
    let rows = panels.len().div_ceil(columns);
    let size = (u32::try_from(columns)? * 400, u32::try_from(rows)? * 300);
    let area = SVGBackend::new(file, size).into_drawing_area();
    let drawn = || -> Drawn {
        area.fill(&GROUND)?;
        for (area, panel) in area.split_evenly((rows, columns)).iter().zip(panels) {
            draw(area, panel)?;
        }
        area.present()
    };
    drawn().map_err(|error| anyhow!("{}: {error}", file.display()))
}

type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;
type Chart<'a, 'b, Y> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<LogCoord<f64>, Y>>;

fn text(size: u32) -> TextStyle<'static> {
    (FONT, size).into_font().color(&INK)
}

fn draw(area: &Area<'_>, panel: &Panel) -> Drawn {
    let all = || panel.lines.iter().flat_map(|line| line.points.iter());
    let (left, right) = span(all().map(|point| point.0));
    let (least, most) = span(all().map(|point| point.1));
    let mut chart = ChartBuilder::on(area);
    chart.caption(&panel.title, text(16)).margin(12).x_label_area_size(42).y_label_area_size(62);
    let x = (left / 1.3..right * 1.3).log_scale();
    // Above the lines there is room for their names.
    if panel.logarithmic {
        let top = most * (most / least).sqrt().max(3.0);
        let y = (least / 1.5..top).log_scale();
        return fill(&mut chart.build_cartesian_2d(x, y)?, panel);
    }
    fill(&mut chart.build_cartesian_2d(x, 0.0..most * 1.5)?, panel)
}

fn fill<'c, 's: 'c, Y>(chart: &mut Chart<'c, 's, Y>, panel: &Panel) -> Drawn
where
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    chart
        .configure_mesh()
        .x_desc(&panel.x)
        .y_desc(&panel.y)
        .axis_desc_style(text(13))
        .label_style(text(12))
        .x_label_formatter(&|value| short(*value))
        .y_label_formatter(&|value| short(*value))
        .x_labels(6)
        .y_labels(6)
        .bold_line_style(FAINT)
        .light_line_style(TRANSPARENT)
        .axis_style(INK)
        .draw()?;
    let mut colours = COLOURS.iter();
    for line in &panel.lines {
        let points = line.points.iter().copied();
        if line.reference {
            let style = INK.mix(0.5).stroke_width(1);
            chart
                .draw_series(DashedLineSeries::new(points, 4, 4, style))?
                .label(&line.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
            continue;
        }
        let Some(colour) = colours.next() else { break };
        chart
            .draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))?
            .label(&line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
        chart.draw_series(points.map(|point| Circle::new(point, 3, colour.filled())))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(GROUND.mix(0.9))
        .border_style(FAINT)
        .label_font(text(12))
        .draw()
}

/// The least and the greatest.
fn span(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::MAX, f64::MIN), |(least, most), value| (least.min(value), most.max(value)))
}

/// A number as it fits beside an axis.
fn short(value: f64) -> String {
    let (value, unit) = match value {
        value if value >= 1e9 => (value / 1e9, "G"),
        value if value >= 1e6 => (value / 1e6, "M"),
        value if value >= 1e3 => (value / 1e3, "k"),
        value => (value, ""),
    };
    let rounded = (value * 10.0).round() / 10.0;
    format!("{rounded}{unit}")
}
