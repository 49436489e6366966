//! Figures: what was measured, how often, and what came out.

use serde::Serialize;

/// All samples of a run, by the name of the figure, in the order in which they first came.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    figures: Vec<(String, &'static str, Vec<f64>)>,
}

/// What the samples of one figure say.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    #[serde(skip)]
    pub(crate) name: String,
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
    pub(crate) unit: &'static str,
    pub(crate) runs: usize,
}

impl Samples {
    /// Adds one sample; a figure has one unit.
    pub(crate) fn add(&mut self, name: impl Into<String>, unit: &'static str, value: f64) {
        let name = name.into();
        match self.figures.iter_mut().find(|(known, ..)| *known == name) {
            Some((_, known, samples)) => {
                assert_eq!(*known, unit, "`{name}` has one unit");
                samples.push(value);
            }
            None => self.figures.push((name, unit, vec![value])),
        }
    }

    pub(crate) fn figures(&self) -> impl Iterator<Item = Figure> {
        self.figures.iter().map(|(name, unit, samples)| Figure::of(name, unit, samples))
    }

    pub(crate) fn figure(&self, name: &str) -> Option<Figure> {
        let (name, unit, samples) = self.figures.iter().find(|(known, ..)| known == name)?;
        Some(Figure::of(name, unit, samples))
    }

    pub(crate) fn median(&self, name: &str) -> Option<f64> {
        self.figure(name).map(|figure| figure.median)
    }

    /// The newest sample of a figure, for what is worked out from it within the same round.
    pub(crate) fn newest(&self, name: &str) -> Option<f64> {
        let (.., samples) = self.figures.iter().find(|(known, ..)| known == name)?;
        samples.last().copied()
    }
}

impl Figure {
    fn of(name: &str, unit: &'static str, samples: &[f64]) -> Self {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (sorted[0], sorted[sorted.len() - 1]);
        let middle = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) };
        Self { name: name.to_owned(), min, median, max, unit, runs: sorted.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_has_the_middle_of_its_samples() {
        let mut samples = Samples::default();
        for value in [3.0, 1.0, 10.0] {
            samples.add("a", "s", value);
        }
        for value in [4.0, 1.0] {
            samples.add("b", "s", value);
        }
        let figures: Vec<_> = samples.figures().map(|f| (f.name, f.min, f.median, f.max, f.runs)).collect();
        assert_eq!(figures, [("a".into(), 1.0, 3.0, 10.0, 3), ("b".into(), 1.0, 2.5, 4.0, 2)]);
        assert_eq!((samples.median("a"), samples.newest("a"), samples.newest("c")), (Some(3.0), Some(10.0), None));
    }
}
