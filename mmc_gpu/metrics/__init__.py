"""Today's Numerai scores for all users at once: the functions of numerai-tools, and what it lacks.

`numerai_tools.scoring` and `.signals` 0.7.2 by name, arguments and results, plus `engine=` where
something is ranked or multiplied. Users without a score are NaN and spoil nobody else's; `faults=`,
a dict, gains the reason by their name.
"""

from mmc_gpu.metrics.contribution import (
    contribution_scores,
    correlation_contribution,
    neutral_contribution,
)
from mmc_gpu.metrics.correlations import (
    numerai_corr,
    spearman_correlation,
    tie_broken_rank_correlation,
)
from mmc_gpu.metrics.crowd import apcwnm, cwmm, mcwnm
from mmc_gpu.metrics.exposure import (
    correlation,
    exposure_dissimilarity,
    feature_exposures,
    max_feature_correlation,
    pearson_correlation,
)
from mmc_gpu.metrics.history import calculate_max_churn_and_turnover, calculate_mean_neutral_churn
from mmc_gpu.metrics.indices import (
    filter_sort_index,
    filter_sort_index_many,
    filter_sort_top_bottom,
    filter_sort_top_bottom_concat,
    one_hot_encode,
    validate_indices,
)
from mmc_gpu.metrics.legacy import legacy_contribution
from mmc_gpu.metrics.neutral import feature_neutral_corr, neutral_correlation, neutralize
from mmc_gpu.metrics.population.tables import rank_table, table_digest
from mmc_gpu.metrics.portfolio import (
    alpha,
    generate_neutralized_weights,
    meta_portfolio_contribution,
)
from mmc_gpu.metrics.signals import churn, neutral_churn, neutral_churn_penalty, turnover
from mmc_gpu.metrics.stakes import payout, stake_weight
from mmc_gpu.metrics.summary import sharpe_ratio
from mmc_gpu.metrics.transforms import (
    center,
    gaussian,
    min_max_normalize,
    orthogonalize,
    power,
    rank,
    rank_series,
    standardize,
    tie_broken_rank,
    tie_kept_rank,
    tie_kept_rank__gaussianize__neutralize__variance_normalize,
    tie_kept_rank__gaussianize__pow_1_5,
    variance_normalize,
    weight_normalize,
)
from mmc_gpu.rounds.difference import Difference, mmc_difference

__all__ = [
    "Difference",
    "alpha",
    "apcwnm",
    "calculate_max_churn_and_turnover",
    "calculate_mean_neutral_churn",
    "center",
    "churn",
    "contribution_scores",
    "correlation",
    "correlation_contribution",
    "cwmm",
    "exposure_dissimilarity",
    "feature_exposures",
    "feature_neutral_corr",
    "filter_sort_index",
    "filter_sort_index_many",
    "filter_sort_top_bottom",
    "filter_sort_top_bottom_concat",
    "gaussian",
    "generate_neutralized_weights",
    "legacy_contribution",
    "max_feature_correlation",
    "mcwnm",
    "meta_portfolio_contribution",
    "min_max_normalize",
    "mmc_difference",
    "neutral_churn",
    "neutral_churn_penalty",
    "neutral_contribution",
    "neutral_correlation",
    "neutralize",
    "numerai_corr",
    "one_hot_encode",
    "orthogonalize",
    "payout",
    "pearson_correlation",
    "power",
    "rank",
    "rank_series",
    "rank_table",
    "sharpe_ratio",
    "spearman_correlation",
    "stake_weight",
    "standardize",
    "table_digest",
    "tie_broken_rank",
    "tie_broken_rank_correlation",
    "tie_kept_rank",
    "tie_kept_rank__gaussianize__neutralize__variance_normalize",
    "tie_kept_rank__gaussianize__pow_1_5",
    "turnover",
    "validate_indices",
    "variance_normalize",
    "weight_normalize",
]
