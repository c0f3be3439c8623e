//! The figures as a picture: CPU and memory over the number of nodes, each beside a straight line through its last point.
//!
//! In: the figures. Out: an SVG.

use std::fmt::Write as _;

use super::Figures;

const WIDTH: f64 = 340.0;
const HEIGHT: f64 = 220.0;
const MARGIN: f64 = 46.0;

/// Two panels side by side.
pub fn svg(all: &[Figures]) -> String {
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" font-size=\"11\">\n",
        2.0 * (WIDTH + MARGIN) + 20.0,
        HEIGHT + 2.0 * MARGIN
    );
    text.push_str("<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n");
    panel(&mut text, MARGIN, "cores, a push of each node every 15 s", all, |f| f.steady_cores);
    panel(&mut text, 2.0 * MARGIN + WIDTH, "resident memory, MiB", all, |f| f.rss_mib);
    text.push_str("</svg>\n");
    text
}

fn panel(text: &mut String, left: f64, title: &str, all: &[Figures], of: fn(&Figures) -> f64) {
    let most_x = all.iter().map(|f| f.nodes as f64).fold(1.0, f64::max);
    let most_y = all.iter().map(of).fold(0.0, f64::max) * 1.1;
    let x = |nodes: f64| left + nodes / most_x * (WIDTH - MARGIN);
    let y = |value: f64| MARGIN + HEIGHT - value / most_y * HEIGHT;
    let (bottom, right) = (y(0.0), x(most_x));
    let _ = writeln!(text, "<text x=\"{left}\" y=\"{}\" font-weight=\"bold\">{title}</text>", MARGIN - 16.0);
    let _ = writeln!(text, "<path d=\"M{left} {MARGIN}V{bottom}H{right}\" fill=\"none\" stroke=\"#444\"/>");
    for f in all {
        let (px, py) = (x(f.nodes as f64), y(of(f)));
        let _ = writeln!(text, "<text x=\"{px}\" y=\"{}\" text-anchor=\"middle\">{}</text>", bottom + 16.0, f.nodes);
        let _ = writeln!(text, "<circle cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"3.5\" fill=\"#1f6feb\"/>");
        let decimals = if of(f) < 10.0 { 3 } else { 0 };
        let _ = writeln!(text, "<text x=\"{:.1}\" y=\"{:.1}\">{:.decimals$}</text>", px - 8.0, py - 8.0, of(f));
    }
    if let Some(last) = all.last() {
        let _ = writeln!(
            text,
            "<path d=\"M{left} {bottom}L{:.1} {:.1}\" stroke=\"#999\" stroke-dasharray=\"4 3\"/>",
            x(last.nodes as f64),
            y(of(last))
        );
    }
    let _ = writeln!(
        text,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">nodes</text>",
        (left + right) / 2.0,
        bottom + 32.0
    );
}
