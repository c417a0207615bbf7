//! A small picture of a runbook's record, for a phone: one square per counted run, and a bar for how much the record shows.
//!
//! It carries no text: the caption says the words. Colours alone would not do for everybody, so a failed run also has a hole in it and an
//! unknown one is only a frame.

/// How one run ended, as the picture shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Square {
    /// It succeeded: green, full.
    Good,
    /// It failed: red, with a hole.
    Bad,
    /// Nobody knows: a grey frame.
    Unknown,
}

/// Why a picture could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the picture could not be written ({why}); send the caption without it")]
pub struct PictureError {
    why: String,
}

/// Width of every picture in pixels: a phone shows it without scaling up.
const WIDTH: usize = 800;
const MARGIN: usize = 40;
/// Squares in a row: the usual fifty make five rows.
const COLUMNS: usize = 10;
const CELL: usize = 72;
const GAP: usize = 8;
const BAR: usize = 48;
/// Most squares; of more the newest are shown.
const SQUARES_MAX: usize = 100;

/// Palette indices.
const BACKGROUND: u8 = 0;
const TRACK: u8 = 1;
const GREEN: u8 = 2;
const RED: u8 = 3;
const GREY: u8 = 4;
const MARK: u8 = 5;
/// Red, green and blue of each index; told apart on Telegram's light and dark themes alike.
const PALETTE: [u8; 18] = [
    24, 28, 36, // background
    58, 64, 76, // track
    46, 160, 67, // good
    218, 54, 51, // bad
    139, 148, 158, // unknown
    240, 246, 252, // mark
];

/// A PNG of the runs, oldest first, row by row; below them a bar filled to `bound` with a mark at `needed` (both from 0 to 1). The bar is
/// green once it reaches the mark. The same arguments give the same bytes.
///
/// # Errors
/// When the encoder refuses, which nothing here gives it reason to.
pub fn picture(runs: &[Square], bound: f64, needed: f64) -> Result<Vec<u8>, PictureError> {
    let runs = &runs[runs.len().saturating_sub(SQUARES_MAX)..];
    let rows = runs.len().div_ceil(COLUMNS).max(1);
    let bar_top = MARGIN + rows * CELL + MARGIN / 2;
    let mut canvas = Canvas::new(bar_top + BAR + MARGIN);
    for (number, run) in runs.iter().enumerate() {
        let (x, y) = (MARGIN + number % COLUMNS * CELL, MARGIN + number / COLUMNS * CELL);
        square(&mut canvas, x, y, *run);
    }
    let length = WIDTH - 2 * MARGIN;
    let along = |share: f64| (share.clamp(0.0, 1.0) * length as f64).round() as usize;
    let colour = if bound >= needed { GREEN } else { GREY };
    canvas.fill(MARGIN, bar_top, length, BAR, TRACK);
    canvas.fill(MARGIN, bar_top, along(bound), BAR, colour);
    canvas.fill(MARGIN + along(needed).min(length - 4), bar_top - 8, 4, BAR + 16, MARK);
    canvas.png()
}

fn square(canvas: &mut Canvas, x: usize, y: usize, run: Square) {
    let side = CELL - GAP;
    let (colour, hole) = match run {
        Square::Good => (GREEN, 0),
        Square::Bad => (RED, side / 3),
        Square::Unknown => (GREY, side - 16),
    };
    canvas.fill(x, y, side, side, colour);
    let inset = (side - hole) / 2;
    canvas.fill(x + inset, y + inset, hole, hole, BACKGROUND);
}

/// One palette index per pixel.
struct Canvas {
    height: usize,
    pixels: Vec<u8>,
}

impl Canvas {
    fn new(height: usize) -> Self {
        Self {
            height,
            pixels: vec![BACKGROUND; WIDTH * height],
        }
    }

    fn fill(&mut self, x: usize, y: usize, width: usize, height: usize, colour: u8) {
        for row in self.pixels.chunks_exact_mut(WIDTH).skip(y).take(height) {
            row.iter_mut().skip(x).take(width).for_each(|pixel| *pixel = colour);
        }
    }

    fn png(&self) -> Result<Vec<u8>, PictureError> {
        let failed = |error: png::EncodingError| PictureError { why: error.to_string() };
        let size = |pixels: usize| u32::try_from(pixels).map_err(|error| PictureError { why: error.to_string() });
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, size(WIDTH)?, size(self.height)?);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_palette(PALETTE.as_slice());
        let mut writer = encoder.write_header().map_err(failed)?;
        writer.write_image_data(&self.pixels).map_err(failed)?;
        writer.finish().map_err(failed)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a viewer sees: size, and the colour at a point.
    struct Seen {
        width: usize,
        height: usize,
        pixels: Vec<u8>,
    }

    impl Seen {
        fn of(runs: &[Square], bound: f64, needed: f64) -> Self {
            let bytes = picture(runs, bound, needed).expect("a picture");
            assert!(bytes.len() < 20_000, "{} bytes", bytes.len());
            let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
            decoder.set_transformations(png::Transformations::EXPAND);
            let mut reader = decoder.read_info().expect("a PNG");
            let mut pixels = vec![0; reader.output_buffer_size().expect("small")];
            let info = reader.next_frame(&mut pixels).expect("a frame");
            Self {
                width: info.width as usize,
                height: info.height as usize,
                pixels,
            }
        }

        fn at(&self, x: usize, y: usize) -> u8 {
            let place = (y * self.width + x) * 3;
            let colours = PALETTE.chunks_exact(3).zip(0..);
            let mut same = colours.filter(|(colour, _)| **colour == self.pixels[place..place + 3]);
            same.next().expect("a colour of the palette").1
        }

        /// The middle and the edge of the square of one run.
        fn run(&self, number: usize) -> (u8, u8) {
            let (x, y) = (MARGIN + number % COLUMNS * CELL, MARGIN + number / COLUMNS * CELL);
            (self.at(x + 32, y + 32), self.at(x + 2, y + 2))
        }
    }

    #[test]
    fn every_run_has_its_square() {
        let runs = [vec![Square::Good; 9], vec![Square::Bad, Square::Unknown]].concat();
        let seen = Seen::of(&runs, 0.5, 0.8);
        assert_eq!((seen.width, seen.height), (800, MARGIN + 2 * CELL + MARGIN / 2 + BAR + MARGIN));
        assert_eq!(seen.run(0), (GREEN, GREEN));
        assert_eq!(seen.run(9), (BACKGROUND, RED), "a hole");
        assert_eq!(seen.run(10), (BACKGROUND, GREY), "a frame");
        assert_eq!(seen.run(11), (BACKGROUND, BACKGROUND), "nothing");
    }

    #[test]
    fn the_bar_reaches_as_far_as_the_record_shows() {
        for (bound, colour) in [(0.5, GREY), (0.79, GREY), (0.8, GREEN), (1.0, GREEN), (7.0, GREEN)] {
            let seen = Seen::of(&[], bound, 0.8);
            let y = seen.height - MARGIN - BAR / 2;
            let end = MARGIN + (bound.min(1.0) * 720.0) as usize;
            assert_eq!(seen.at(MARGIN + 1, y), colour, "{bound}");
            assert_eq!(seen.at(end - 6, y), colour, "{bound}");
            assert_eq!(seen.at(MARGIN + 576 + 1, y - BAR / 2 - 4), MARK);
        }
        let empty = Seen::of(&[], f64::NAN, 0.8);
        assert_eq!(empty.at(MARGIN + 1, empty.height - MARGIN - BAR / 2), TRACK, "no number, no bar");
    }

    #[test]
    fn many_runs_stay_a_picture_for_a_phone() {
        let mut runs = vec![Square::Bad; 400];
        runs.extend([Square::Good; 100]);
        let seen = Seen::of(&runs, 0.9, 0.8);
        assert!(seen.height < 1000, "{}", seen.height);
        assert_eq!(seen.run(0), (GREEN, GREEN), "the newest");
    }
}
