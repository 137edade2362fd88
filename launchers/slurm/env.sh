# The environment of a job, and of a shell that submits: `. env.sh`.
# @mark
@setup
export PATH=@python:"$PATH"
export IMATGEN_CLUSTER=@directory
export IMATGEN_ON_WALLTIME=continue
export FW_CONFIG_FILE=@fw_config
export JOBFLOW_CONFIG_FILE=@jobflow
export ATOMATE2_CONFIG_FILE=@atomate2
@potcars
# one thread in each process; programs that use more threads have options of their own
export OMP_NUM_THREADS=1
