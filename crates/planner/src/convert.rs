//! From optimised logical plans to nodes.
//!
//! Every operator becomes one node (a projection that changes nothing becomes none); columns keep their positions, so that
//! physical expressions made from the logical schema fit the batches. Sources are shared: [`Builder::new`] sees all plans of a
//! file first and makes one source a table with the union of the needed columns.

use crate::aggregates;
use crate::batch;
use crate::bound;
use crate::catalog::{Declared, Scan};
use crate::error::{Error, Span};
use crate::fault;
use crate::places::Places;
use crate::plan::{NamedExpr, Node, NodeId, NodeKind, WindowNode};
use crate::sources;
use crate::table::Table;
use crate::window_calls;
use crate::windowing::{self, Windowing};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion_common::{Column, DFSchema, DFSchemaRef, NullEquality, ScalarValue};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::utils::{conjunction, split_conjunction};
use datafusion_expr::{
    Aggregate, BinaryExpr, Expr, Filter, Join, LogicalPlan, Operator, Projection, TableScan, Unnest, binary_expr,
};
use datafusion_physical_expr::expressions::Column as PhysicalColumn;
use datafusion_physical_expr::{PhysicalExpr, create_physical_expr, create_physical_sort_exprs};
use std::any::Any;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Makes the nodes of one file.
pub(crate) struct Builder {
    pub nodes: Vec<Node>,
    /// By table: which of its columns any plan needs, and its node once it is made.
    needed: HashMap<*const Declared, (BTreeSet<usize>, Option<NodeId>)>,
    /// How many numbers of the next `row_number()` are wanted.
    limit: Option<usize>,
    only_checks: bool,
    pub context: Context,
}

/// What DataFusion needs to make physical expressions.
#[derive(Default)]
pub(crate) struct Context {
    props: ExecutionProps,
    planning: PhysicalPlanningContext,
}

impl Context {
    pub(crate) fn expr(&self, expr: &Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>, Error> {
        create_physical_expr(expr, schema, &self.props, &self.planning).map_err(|e| fault::error(&e))
    }
    pub(crate) fn props(&self) -> &ExecutionProps {
        &self.props
    }
    pub(crate) fn planning(&self) -> &PhysicalPlanningContext {
        &self.planning
    }
}

/// A converted operator: its node, and the logical schema that names its columns.
pub(crate) struct Converted {
    pub node: NodeId,
    schema: DFSchemaRef,
    windowing: Windowing,
}

impl Builder {
    /// Looks over all plans for the columns that they need.
    pub(crate) fn new<'p>(plans: impl Iterator<Item = &'p LogicalPlan>) -> Self {
        let mut needed = HashMap::new();
        for plan in plans {
            scans(plan, &mut needed);
        }
        Self {
            nodes: Vec::new(),
            needed,
            limit: None,
            only_checks: false,
            context: Context::default(),
        }
    }

    /// For a view alone: what its readers may still put right is not looked at.
    pub(crate) fn check(plan: &LogicalPlan, places: &Places) -> Result<(), Error> {
        let mut builder = Self::new([plan].into_iter());
        builder.only_checks = true;
        builder.convert(plan, places).map(drop)
    }

    /// The rows of a plan.
    pub(crate) fn convert(&mut self, plan: &LogicalPlan, places: &Places) -> Result<Converted, Error> {
        if let (Some(name), false) = (batch::left_in(&plan.expressions()), self.only_checks) {
            return Err(Error::new(format!("{name}() works only inside of approx_top_k_combine()")).at(places.function(name)).hint(
                "its sketches depend on how rows come in batches; aggregate the items with approx_top_k_accumulate() or approx_top_k()",
            ));
        }
        match plan {
            LogicalPlan::TableScan(scan) => self.scan(scan, places),
            LogicalPlan::Projection(projection) => self.project(plan, projection, places),
            LogicalPlan::Filter(filter) => self.filter(filter, places),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(plan, aggregate, places),
            LogicalPlan::Window(window) => {
                let limit = self.limit.take();
                let input = self.convert(&window.input, places)?;
                self.row_number(plan, &window.window_expr, input, limit, places)
            }
            LogicalPlan::Join(join) => self.join(plan, join, places),
            LogicalPlan::Union(_) => self.union(plan, places),
            LogicalPlan::Unnest(unnest) => self.unnest(plan, unnest, places),
            LogicalPlan::SubqueryAlias(_) | LogicalPlan::Extension(_) => {
                let input = self.convert(plan.inputs()[0], places)?;
                Ok(Converted {
                    schema: plan.schema().clone(),
                    ..input
                })
            }
            other => {
                windowing::of(other, &[], places)?;
                Err(Error::new(format!("{} is not supported", other.display())).at(places.statement()))
            }
        }
    }

    /// Writes rows to a table or prints them. Several inputs of one table come together first, so that it is opened once.
    pub(crate) fn sink(&mut self, inputs: Vec<NodeId>, table: Option<Arc<Table>>, span: Span) {
        let input = match inputs.as_slice() {
            [only] => *only,
            _ => {
                let schema = merged(inputs.iter().map(|i| &self.nodes[*i].schema));
                self.push(NodeKind::Union, inputs, schema, Some(span))
            }
        };
        let schema = self.nodes[input].schema.clone();
        self.push(NodeKind::Sink(table), vec![input], schema, Some(span));
    }

    fn push(&mut self, kind: NodeKind, inputs: Vec<NodeId>, schema: SchemaRef, span: Option<Span>) -> NodeId {
        self.nodes.push(Node {
            kind,
            inputs,
            schema,
            span,
        });
        self.nodes.len() - 1
    }

    fn scan(&mut self, scan: &TableScan, places: &Places) -> Result<Converted, Error> {
        let source: &dyn Any = scan.source.as_ref();
        let Some(declared) = source.downcast_ref::<Scan>().map(|s| s.declared.clone()) else {
            return Err(Error::new(format!("{} cannot be read", scan.table_name)).at(places.statement()));
        };
        let all = 0..declared.table.columns.len();
        let key = Arc::as_ptr(&declared);
        let (columns, made) = self
            .needed
            .get(&key)
            .cloned()
            .unwrap_or_else(|| (all.clone().collect(), None));
        let node = match made {
            Some(node) => node,
            None => {
                let (source, schema) = sources::source(&declared, &columns, &self.context)?;
                let node = self.push(NodeKind::Source(source), Vec::new(), schema, declared.table.span);
                self.needed.insert(key, (columns.clone(), Some(node)));
                node
            }
        };
        let wanted: Vec<usize> = scan.projection.clone().unwrap_or_else(|| all.collect());
        let at: Vec<usize> = wanted
            .iter()
            .filter_map(|c| columns.iter().position(|have| have == c))
            .collect();
        let schema = scan.projected_schema.clone();
        let node = if at.iter().copied().eq(0..columns.len()) {
            node
        } else {
            self.pick(node, &at)
        };
        Ok(Converted {
            node,
            schema,
            windowing: Windowing::None,
        })
    }

    /// Some columns of a node.
    fn pick(&mut self, node: NodeId, columns: &[usize]) -> NodeId {
        let from = self.nodes[node].schema.clone();
        let exprs = columns.iter().map(|i| {
            let name = from.field(*i).name().clone();
            NamedExpr {
                expr: Arc::new(PhysicalColumn::new(&name, *i)),
                name,
            }
        });
        let exprs = exprs.collect();
        let schema = Arc::new(Schema::new(
            columns
                .iter()
                .map(|i| from.fields()[*i].clone())
                .collect::<Vec<FieldRef>>(),
        ));
        self.push(NodeKind::Project(exprs), vec![node], schema, None)
    }

    fn project(&mut self, plan: &LogicalPlan, projection: &Projection, places: &Places) -> Result<Converted, Error> {
        let input = self.convert(&projection.input, places)?;
        let windowing = windowing::of(plan, std::slice::from_ref(&input.windowing), places)?;
        let fields = projection.schema.fields();
        let exprs = projection
            .expr
            .iter()
            .zip(fields)
            .map(|(e, f)| self.named(e, f.name(), &input))
            .collect::<Result<Vec<_>, _>>()?;
        let from = &self.nodes[input.node].schema;
        let same = exprs.len() == from.fields().len()
            && exprs.iter().enumerate().all(|(i, e)| {
                e.expr.downcast_ref::<PhysicalColumn>().is_some_and(|c| c.index() == i)
                    && e.name == *from.field(i).name()
            });
        if same {
            return Ok(Converted {
                node: input.node,
                schema: projection.schema.clone(),
                windowing,
            });
        }
        let schema = self.schema_of(&exprs, input.node)?;
        let span = projection.expr.iter().find_map(column_span);
        let node = self.push(NodeKind::Project(exprs), vec![input.node], schema, span);
        Ok(Converted {
            node,
            schema: projection.schema.clone(),
            windowing,
        })
    }

    fn filter(&mut self, filter: &Filter, places: &Places) -> Result<Converted, Error> {
        let mut predicates = split_conjunction(&filter.predicate);
        // A filter on the number of row_number() bounds the state of that operator, the next one on the way down.
        self.limit = bound::limit(&mut predicates, &filter.input);
        let input = self.convert(&filter.input, places)?;
        predicates.retain(|p| !matches!(p, Expr::Literal(ScalarValue::Boolean(Some(true)), _)));
        let Some(predicate) = conjunction(predicates.into_iter().cloned()) else {
            return Ok(input);
        };
        let expr = self.context.expr(&predicate, &input.schema)?;
        let schema = self.nodes[input.node].schema.clone();
        let node = self.push(
            NodeKind::Filter(expr),
            vec![input.node],
            schema,
            column_span(&predicate),
        );
        Ok(Converted { node, ..input })
    }

    fn aggregate(&mut self, plan: &LogicalPlan, aggregate: &Aggregate, places: &Places) -> Result<Converted, Error> {
        let input = self.convert(&aggregate.input, places)?;
        let windowing = windowing::of(plan, std::slice::from_ref(&input.windowing), places)?;
        let at = places.grouping(&aggregate.aggr_expr);
        let mut keys = Vec::new();
        let mut first_window = None;
        for (index, expr) in aggregate.group_expr.iter().enumerate() {
            match window_calls::call(expr) {
                Some(call) => first_window = Some((index, window_calls::window(call)?)),
                None => keys.push(self.named(expr, aggregate.schema.field(index).name(), &input)?),
            }
        }
        let aggregates = aggregate
            .aggr_expr
            .iter()
            .map(|e| {
                aggregates::aggregate(e, &input.schema, &self.nodes[input.node].schema, &self.context)
                    .map_err(|fault| fault.at(places.aggregate(e)).at(at))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let mut fields: Vec<FieldRef> = Vec::new();
        let mut key_fields = self
            .schema_of(&keys, input.node)?
            .fields()
            .iter()
            .cloned()
            .collect::<Vec<_>>()
            .into_iter();
        for index in 0..aggregate.group_expr.len() {
            if first_window.is_some_and(|(position, _)| position == index) {
                fields.push(Arc::new(Field::new(
                    aggregate.schema.field(index).name(),
                    window_calls::window_type(),
                    false,
                )));
            } else {
                fields.extend(key_fields.next());
            }
        }
        fields.extend(aggregates.iter().map(|a| a.function.field()));
        let schema = Arc::new(Schema::new(fields));
        let kind = match first_window {
            Some((position, window)) => NodeKind::Window(WindowNode {
                window,
                position,
                keys,
                aggregates,
            }),
            None => NodeKind::Regroup { keys, aggregates },
        };
        let node = self.push(kind, vec![input.node], schema, Some(at));
        Ok(Converted {
            node,
            schema: aggregate.schema.clone(),
            windowing,
        })
    }

    fn row_number(
        &mut self,
        plan: &LogicalPlan,
        exprs: &[Expr],
        input: Converted,
        limit: Option<usize>,
        places: &Places,
    ) -> Result<Converted, Error> {
        let windowing = windowing::of(plan, std::slice::from_ref(&input.windowing), places)?;
        let mut node = input.node;
        let names = &plan.schema().fields()[input.schema.fields().len()..];
        for (expr, field) in exprs.iter().zip(names) {
            let function =
                windowing::row_number(expr).map_err(|name| Error::new(format!("{name} is not supported")))?;
            let partition_by = function
                .params
                .partition_by
                .iter()
                .map(|e| self.context.expr(e, &input.schema))
                .collect::<Result<Vec<_>, _>>()?;
            let order_by = create_physical_sort_exprs(
                &function.params.order_by,
                &input.schema,
                self.context.props(),
                self.context.planning(),
            )
            .map_err(|e| fault::error(&e))?;
            let mut fields = self.nodes[node].schema.fields().to_vec();
            fields.push(Arc::new(Field::new(field.name(), DataType::UInt64, false)));
            // Several numberings of the same rows: none of them may drop rows that another one counts.
            let limit = limit.filter(|_| exprs.len() == 1);
            let kind = NodeKind::RowNumber {
                partition_by,
                order_by,
                limit,
            };
            node = self.push(
                kind,
                vec![node],
                Arc::new(Schema::new(fields)),
                Some(places.function("row_number")),
            );
        }
        Ok(Converted {
            node,
            schema: plan.schema().clone(),
            windowing,
        })
    }

    fn join(&mut self, plan: &LogicalPlan, join: &Join, places: &Places) -> Result<Converted, Error> {
        let left = self.convert(&join.left, places)?;
        let right = self.convert(&join.right, places)?;
        let windowing = windowing::of(plan, &[left.windowing.clone(), right.windowing.clone()], places)?;
        let mut on = Vec::new();
        let mut filters: Vec<Expr> = join.filter.iter().flat_map(split_conjunction).cloned().collect();
        filters.retain(|f| match f {
            Expr::BinaryExpr(BinaryExpr {
                left: l,
                op: Operator::Eq,
                right: r,
            }) => !(same_window(l, r, &left, &right) || same_window(r, l, &left, &right)),
            _ => true,
        });
        for (l, r) in &join.on {
            // Rows are joined window by window anyway.
            if same_window(l, r, &left, &right) {
                continue;
            }
            match join.null_equality {
                NullEquality::NullEqualsNothing => on.push((
                    self.context.expr(l, &left.schema)?,
                    self.context.expr(r, &right.schema)?,
                )),
                NullEquality::NullEqualsNull => {
                    filters.push(binary_expr(l.clone(), Operator::IsNotDistinctFrom, r.clone()))
                }
            }
        }
        let filter = conjunction(filters)
            .map(|f| self.context.expr(&f, &join.schema))
            .transpose()?;
        let (lefts, rights) = (&self.nodes[left.node].schema, &self.nodes[right.node].schema);
        let fields = lefts.fields().iter().chain(rights.fields()).zip(join.schema.fields());
        let fields = fields.map(|(have, logical)| {
            let nullable = have.is_nullable() || logical.is_nullable();
            Arc::new(have.as_ref().clone().with_nullable(nullable))
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<FieldRef>>()));
        let kind = NodeKind::Join {
            join_type: join.join_type,
            on,
            filter,
        };
        let node = self.push(kind, vec![left.node, right.node], schema, Some(places.join()));
        Ok(Converted {
            node,
            schema: join.schema.clone(),
            windowing,
        })
    }

    fn union(&mut self, plan: &LogicalPlan, places: &Places) -> Result<Converted, Error> {
        let inputs = plan
            .inputs()
            .into_iter()
            .map(|p| self.convert(p, places))
            .collect::<Result<Vec<_>, _>>()?;
        let windowings: Vec<_> = inputs.iter().map(|i| i.windowing.clone()).collect();
        let windowing = windowing::of(plan, &windowings, places)?;
        let nodes: Vec<_> = inputs.iter().map(|i| i.node).collect();
        let schema = merged(nodes.iter().map(|i| &self.nodes[*i].schema));
        let node = self.push(NodeKind::Union, nodes, schema, None);
        Ok(Converted {
            node,
            schema: plan.schema().clone(),
            windowing,
        })
    }

    fn unnest(&mut self, plan: &LogicalPlan, unnest: &Unnest, places: &Places) -> Result<Converted, Error> {
        let input = self.convert(&unnest.input, places)?;
        let windowing = windowing::of(plan, std::slice::from_ref(&input.windowing), places)?;
        let at = places.function("unnest");
        let (column, list) = match unnest.list_type_columns.as_slice() {
            [(column, list)]
                if unnest
                    .dependency_indices
                    .iter()
                    .copied()
                    .eq(0..input.schema.fields().len()) =>
            {
                (*column, list)
            }
            _ => {
                return Err(Error::new("this unnest() is not supported")
                    .at(at)
                    .hint("unnest one list in a query of its own"));
            }
        };
        if list.depth != 1 {
            return Err(Error::new("unnest(unnest(...)) is not supported")
                .at(at)
                .hint("unnest the inner list in a query around the first"));
        }
        let from = &self.nodes[input.node].schema;
        let DataType::List(item) = from.field(column).data_type() else {
            return Err(Error::new(format!("unnest() takes a list, not {}", from.field(column).data_type())).at(at));
        };
        let mut fields = from.fields().to_vec();
        fields[column] = Arc::new(Field::new(
            plan.schema().field(column).name(),
            item.data_type().clone(),
            true,
        ));
        let node = self.push(
            NodeKind::Unnest { column },
            vec![input.node],
            Arc::new(Schema::new(fields)),
            Some(at),
        );
        Ok(Converted {
            node,
            schema: plan.schema().clone(),
            windowing,
        })
    }

    fn named(&self, expr: &Expr, name: &str, input: &Converted) -> Result<NamedExpr, Error> {
        let expr = self
            .context
            .expr(expr, &input.schema)
            .map_err(|e| e.at(column_span(expr)))?;
        Ok(NamedExpr {
            expr,
            name: name.to_string(),
        })
    }

    /// Types come from the physical expressions, so that a batch made of them always fits.
    fn schema_of(&self, exprs: &[NamedExpr], input: NodeId) -> Result<SchemaRef, Error> {
        let from = &self.nodes[input].schema;
        let field = |e: &NamedExpr| {
            let field = Field::new(&e.name, e.expr.data_type(from)?, e.expr.nullable(from)?);
            Ok::<_, datafusion_common::error::DataFusionError>(field)
        };
        let fields = exprs
            .iter()
            .map(field)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| fault::error(&e))?;
        Ok(Arc::new(Schema::new(fields)))
    }
}

fn scans(plan: &LogicalPlan, needed: &mut HashMap<*const Declared, (BTreeSet<usize>, Option<NodeId>)>) {
    if let LogicalPlan::TableScan(scan) = plan {
        let source: &dyn Any = scan.source.as_ref();
        if let Some(source) = source.downcast_ref::<Scan>() {
            let columns = &mut needed.entry(Arc::as_ptr(&source.declared)).or_default().0;
            match &scan.projection {
                Some(projection) => columns.extend(projection),
                None => columns.extend(0..source.declared.table.columns.len()),
            }
        }
    }
    for input in plan.inputs() {
        scans(input, needed);
    }
}

/// Fields of the first, nullable where any of them is.
fn merged<'s>(mut schemas: impl Iterator<Item = &'s SchemaRef>) -> SchemaRef {
    let Some(first) = schemas.next() else {
        return Arc::new(Schema::empty());
    };
    let mut nullable: Vec<bool> = first.fields().iter().map(|f| f.is_nullable()).collect();
    for schema in schemas {
        for (n, field) in nullable.iter_mut().zip(schema.fields()) {
            *n |= field.is_nullable();
        }
    }
    let fields = first
        .fields()
        .iter()
        .zip(nullable)
        .map(|(f, n)| Arc::new(f.as_ref().clone().with_nullable(n)));
    Arc::new(Schema::new(fields.collect::<Vec<FieldRef>>()))
}

/// True for `left.window = right.window`, and for their `.start` or `.end`.
fn same_window(left: &Expr, right: &Expr, a: &Converted, b: &Converted) -> bool {
    let window = |expr: &Expr, side: &Converted| -> bool {
        let Windowing::By { columns, .. } = &side.windowing else {
            return false;
        };
        match expr {
            Expr::Column(column) => side
                .schema
                .maybe_index_of_column(column)
                .is_some_and(|i| columns.contains(&i)),
            _ => false,
        }
    };
    match (left, right) {
        (Expr::ScalarFunction(l), Expr::ScalarFunction(r))
            if l.func.name() == "get_field" && r.func.name() == "get_field" =>
        {
            match (l.args.as_slice(), r.args.as_slice()) {
                ([l, lf], [r, rf]) => lf == rf && window(l, a) && window(r, b),
                _ => false,
            }
        }
        _ => window(left, a) && window(right, b),
    }
}

/// Where the first column of an expression stands.
pub(crate) fn column_span(expr: &Expr) -> Option<Span> {
    let columns = expr.column_refs();
    let mut spans: Vec<Span> = columns
        .iter()
        .filter_map(|c: &&Column| c.spans.first().and_then(fault::span))
        .collect();
    spans.sort();
    spans.first().copied()
}
