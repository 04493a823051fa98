//! A count as a bar: full up to what is proven at least, then a whisker up to what it is at most.

const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/// The bar of a count in a column of `width` cells, in which `most` fills all of it; the whisker comes behind it.
pub fn bar(lower: u128, upper: u128, most: u128, width: usize) -> (String, String) {
    if width == 0 {
        return Default::default();
    }
    let eighths =
        |count: u128| (count as f64 / most.max(1) as f64 * width as f64 * 8.0).min(width as f64 * 8.0) as usize;
    let (low, high) = (eighths(lower), eighths(upper));
    let mut full = "█".repeat(low / 8);
    // What is there is seen, however small.
    match low % 8 {
        0 if low == 0 && lower > 0 => full.push(EIGHTHS[1]),
        0 => {}
        rest => full.push(EIGHTHS[rest]),
    }
    let used = full.chars().count();
    let end = high.div_ceil(8).max(used);
    let whisker = match end - used {
        0 => String::new(),
        1 => "┤".into(),
        cells => format!("{}┤", "─".repeat(cells - 1)),
    };
    (full, whisker)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_ends_at_what_is_proven_and_its_whisker_at_what_is_possible() {
        let drawn = |lower, upper| {
            let (full, whisker) = bar(lower, upper, 100, 10);
            full + &whisker
        };
        assert_eq!(drawn(100, 100), "██████████");
        assert_eq!(drawn(50, 50), "█████");
        assert_eq!(drawn(50, 80), "█████──┤");
        assert_eq!(drawn(50, 60), "█████┤");
        assert_eq!(drawn(55, 55), "█████▌");
        assert_eq!(drawn(1, 1), "▏");
        assert_eq!((drawn(0, 0), drawn(0, 30)), (String::new(), "──┤".into()));
        assert_eq!(bar(u128::MAX, u128::MAX, u128::MAX, 10).0.chars().count(), 10);
        assert_eq!(bar(5, 9, 9, 0), Default::default());
    }
}
