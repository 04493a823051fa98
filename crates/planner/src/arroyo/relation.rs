//! What Arroyo knows of the rows of a query, from the tables up.

use super::Check;
use super::{expressions, memory, ranking, windows};
use crate::catalog::{Named, Scan};
use crate::places::Places;
use crate::windowing::is_one_of;
use datafusion_expr::{Expr, LogicalPlan};

/// The rows of an operator, a view or a memory table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Relation {
    /// Nothing for single events.
    pub window: Option<Seen>,
    /// Positions of the columns that tell the rows of a window apart, if that is known.
    pub unique: Option<Vec<usize>>,
    /// A table below whose rows come to an end.
    pub ends: Option<String>,
}

/// Rows of closed windows, as Arroyo's planner sees them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Positions of the columns that it takes for the window.
    pub columns: Vec<usize>,
    /// Set above an operator through which it loses sight of the window.
    pub blind: Option<Blind>,
}

/// Operators above which Arroyo does not find the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blind {
    /// A join: the window can be called again, but its columns are not known as such.
    Join,
    /// A union of windowed rows: nothing that asks for the window can stand above it.
    Union,
}

impl Check<'_> {
    /// Checks a query whose views are names, operator by operator.
    pub(super) fn relation(&mut self, plan: &LogicalPlan, places: &Places) -> Relation {
        let inputs: Vec<Relation> = plan.inputs().into_iter().map(|p| self.relation(p, places)).collect();
        if let [input] = plan.inputs().as_slice() {
            let at = |name: &str| places.function(name);
            for expr in plan.expressions() {
                expressions::check(&expr, input.schema(), &at, &mut self.found);
                expressions::items(&expr, input.schema(), &at, &mut self.found);
            }
        }
        let ends = inputs.iter().find_map(|input| input.ends.clone());
        let first = inputs.first().cloned().unwrap_or_default();
        let found = &mut self.found;
        match plan {
            LogicalPlan::TableScan(scan) => {
                let source: &dyn std::any::Any = scan.source.as_ref();
                if let Some(named) = source.downcast_ref::<Named>() {
                    return self.views.get(&named.name.to_lowercase()).cloned().unwrap_or_default();
                }
                let table = source.downcast_ref::<Scan>().map(|s| s.declared.table.name.clone());
                let facts = table.and_then(|name| self.tables.get(&name.to_lowercase()));
                Relation {
                    ends: facts.filter(|f| f.ends()).map(|f| f.name.clone()),
                    ..Relation::default()
                }
            }
            LogicalPlan::Projection(projection) => {
                let schema = projection.input.schema();
                let moved = |positions: &[usize]| -> Vec<usize> {
                    let exprs = projection.expr.iter().enumerate();
                    exprs
                        .filter(|(_, e)| is_one_of(e, schema, positions))
                        .map(|(i, _)| i)
                        .collect()
                };
                Relation {
                    window: first.window.map(|seen| Seen {
                        columns: moved(&seen.columns),
                        ..seen
                    }),
                    // Each of them must still be there.
                    unique: first
                        .unique
                        .and_then(|unique| unique.iter().map(|column| moved(&[*column]).first().copied()).collect()),
                    ends,
                }
            }
            LogicalPlan::Aggregate(aggregate) => {
                expressions::keys(&aggregate.group_expr, aggregate.input.schema(), places, found);
                memory::check(aggregate, &first, &self.known, places, found);
                let window = windows::grouped(&aggregate.group_expr, aggregate.input.schema(), &first, places, found);
                let keys = (0..aggregate.group_expr.len()).filter(|i| !window.columns.contains(i));
                Relation {
                    unique: Some(keys.collect()),
                    window: Some(window),
                    ends,
                }
            }
            LogicalPlan::Distinct(_) => {
                let fields = plan.schema().fields().len();
                let columns: Vec<Expr> = (0..fields)
                    .map(|i| Expr::Column(datafusion_common::Column::from(plan.schema().qualified_field(i))))
                    .collect();
                Relation {
                    window: Some(windows::grouped(&columns, plan.schema(), &first, places, found)),
                    unique: Some((0..fields).collect()),
                    ends,
                }
            }
            LogicalPlan::Window(window) => {
                ranking::check(&window.window_expr, window.input.schema(), &first, places, found);
                Relation { ends, ..first }
            }
            LogicalPlan::Join(_) => {
                windows::joined(&inputs, places, found);
                Relation {
                    window: inputs.iter().any(|input| input.window.is_some()).then(|| Seen {
                        columns: Vec::new(),
                        blind: Some(Blind::Join),
                    }),
                    unique: None,
                    ends,
                }
            }
            LogicalPlan::Union(_) => Relation {
                window: inputs.iter().any(|input| input.window.is_some()).then(|| Seen {
                    columns: first.window.map(|seen| seen.columns).unwrap_or_default(),
                    blind: Some(Blind::Union),
                }),
                unique: None,
                ends,
            },
            LogicalPlan::Unnest(unnest) => {
                expressions::unnested(unnest, places, found);
                let list = unnest.list_type_columns.first().map(|(index, _)| *index);
                Relation {
                    window: first.window.map(|seen| Seen {
                        columns: unnest
                            .dependency_indices
                            .iter()
                            .enumerate()
                            .filter(|(_, from)| Some(**from) != list && seen.columns.contains(from))
                            .map(|(i, _)| i)
                            .collect(),
                        ..seen
                    }),
                    unique: None,
                    ends,
                }
            }
            _ => Relation { ends, ..first },
        }
    }
}
